#include "train/model_source.h"

#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "checkpoint/deepspeed.h"
#include "checkpoint/huggingface.h"
#include "checkpoint/native_checkpoint.h"
#include "model/init.h"

namespace zt::train {
namespace {

zero::ParamSource scratch_values(const std::vector<layout::ParamSpec>& params, std::uint64_t seed) {
  return [params, seed](layout::ParamId id, std::int64_t begin, std::span<float> values) {
    model::fill_initial(params.at(static_cast<std::size_t>(id.value)), id.value, seed, begin,
                        values);
  };
}

zero::ParamSource folder_values(const std::vector<layout::ParamSpec>& params,
                                const std::string& folder) {
  if (!checkpoint::has_weights(folder)) {
    throw FileError(
        fmt::format("[train.model] {} has no weights: expected model.safetensors or "
                    "model.safetensors.index.json. "
                    "Pass --from_scratch to initialise them.",
                    folder));
  }
  // Shared: the copies of the returned function own the mapped files together.
  const auto weights = std::make_shared<const checkpoint::HuggingFaceWeights>(folder);
  weights->check(params);
  return [params, weights](layout::ParamId id, std::int64_t begin, std::span<float> values) {
    weights->read(params.at(static_cast<std::size_t>(id.value)), begin, values);
  };
}

template <typename Source>
zero::ParamSource masters_or_weights(const std::vector<layout::ParamSpec>& params,
                                     std::shared_ptr<const Source> source) {
  source->check(params);
  const auto kind = source->has(layout::StateKind::master) ? layout::StateKind::master
                                                           : layout::StateKind::weight;
  return [params, source, kind](layout::ParamId id, std::int64_t begin, std::span<float> values) {
    source->read(kind, params.at(static_cast<std::size_t>(id.value)), begin, values);
  };
}

zero::ParamSource checkpoint_values(const std::vector<layout::ParamSpec>& params,
                                    const std::string& folder) {
  if (checkpoint::is_native(folder)) {
    return masters_or_weights(params, std::make_shared<const checkpoint::NativeCheckpoint>(folder));
  }
  if (!checkpoint::has_weights(folder) && !checkpoint::find_deepspeed(folder).folder.empty()) {
    return masters_or_weights(params,
                              std::make_shared<const checkpoint::DeepSpeedCheckpoint>(folder));
  }
  return folder_values(params, folder);
}

}  // namespace

OpenedModel open_model(const config::ModelConfig& options, std::uint64_t seed,
                       const std::string& init_from) {
  OpenedModel opened;
  opened.config = model::read_qwen3_config(options.model_name_or_path);
  opened.parts = model::make_qwen3(opened.config);
  const auto& params = opened.parts.params;
  opened.values = !init_from.empty()     ? checkpoint_values(params, init_from)
                  : options.from_scratch ? scratch_values(params, seed)
                                         : folder_values(params, options.model_name_or_path);
  return opened;
}

}  // namespace zt::train
