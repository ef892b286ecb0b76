#include "train/model_source.h"

#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "checkpoint/huggingface.h"
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

}  // namespace

OpenedModel open_model(const config::ModelConfig& options, std::uint64_t seed) {
  OpenedModel opened;
  opened.config = model::read_qwen3_config(options.model_name_or_path);
  opened.parts = model::make_qwen3(opened.config);
  opened.values = options.from_scratch
                      ? scratch_values(opened.parts.params, seed)
                      : folder_values(opened.parts.params, options.model_name_or_path);
  return opened;
}

}  // namespace zt::train
