#include "train/model_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
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

/// A weight that is no number would spread through every state after it (NaN in A_log), or stop the
/// run in its first steps without saying where it came from.
void require_finite(const layout::ParamSpec& param, const std::string& folder, std::int64_t begin,
                    std::span<const float> values) {
  const auto bad = std::find_if_not(values.begin(), values.end(),
                                    [](float value) { return std::isfinite(value); });
  if (bad == values.end()) return;
  throw FileError(fmt::format(
      "[train.model] {}: '{}' has a value that is not finite: got {} at element {}. Restore the "
      "weights.",
      folder, param.name, *bad, begin + (bad - values.begin())));
}

zero::ParamSource folder_values(const std::vector<layout::ParamSpec>& params,
                                const std::string& folder) {
  if (model::named_model(folder)) {
    throw ConfigError(fmt::format(
        "[train.model] --model_name_or_path: {} is a size, which has no weights. Pass "
        "--from_scratch to initialise them, --init_from to take some, or name a folder.",
        folder));
  }
  if (!std::filesystem::is_directory(folder)) {
    throw FileError(
        fmt::format("[train.model] no such folder: {}. Name one with weights.", folder));
  }
  if (!checkpoint::has_weights(folder)) {
    throw FileError(
        fmt::format("[train.model] {} has no weights: expected model.safetensors, "
                    "pytorch_model.bin, or an index of either. "
                    "Pass --from_scratch to initialise them.",
                    folder));
  }
  // Shared: the copies of the returned function own the mapped files together.
  const auto weights = std::make_shared<const checkpoint::HuggingFaceWeights>(folder);
  weights->check(params);
  return
      [params, weights, folder](layout::ParamId id, std::int64_t begin, std::span<float> values) {
        const auto& param = params.at(static_cast<std::size_t>(id.value));
        weights->read(param, begin, values);
        require_finite(param, folder, begin, values);
      };
}

template <typename Source>
zero::ParamSource masters_or_weights(const std::vector<layout::ParamSpec>& params,
                                     const std::string& folder,
                                     std::shared_ptr<const Source> source) {
  source->check(params);
  const auto kind = source->has(layout::StateKind::master) ? layout::StateKind::master
                                                           : layout::StateKind::weight;
  return [params, source, kind, folder](layout::ParamId id, std::int64_t begin,
                                        std::span<float> values) {
    const auto& param = params.at(static_cast<std::size_t>(id.value));
    source->read(kind, param, begin, values);
    require_finite(param, folder, begin, values);
  };
}

zero::ParamSource checkpoint_values(const std::vector<layout::ParamSpec>& params,
                                    const std::string& folder) {
  if (checkpoint::is_native(folder)) {
    return masters_or_weights(params, folder,
                              std::make_shared<const checkpoint::NativeCheckpoint>(folder));
  }
  if (!checkpoint::has_weights(folder) && !checkpoint::find_deepspeed(folder).folder.empty()) {
    return masters_or_weights(params, folder,
                              std::make_shared<const checkpoint::DeepSpeedCheckpoint>(folder));
  }
  return folder_values(params, folder);
}

}  // namespace

OpenedModel open_model(const config::ModelConfig& options, std::uint64_t seed,
                       const std::string& init_from) {
  OpenedModel opened;
  const auto& name = options.model_name_or_path;
  const auto named = model::named_model(name);
  opened.config = named ? *named : model::read_model(name);
  opened.parts = opened.config.make();
  const auto& params = opened.parts.params;
  opened.values = !init_from.empty()     ? checkpoint_values(params, init_from)
                  : options.from_scratch ? scratch_values(params, seed)
                                         : folder_values(params, options.model_name_or_path);
  return opened;
}

void require_length(const model::Model& model, std::int64_t tokens) {
  const auto limit = model.length_limit();
  if (limit.tokens == 0 || tokens <= limit.tokens) return;
  throw ConfigError(fmt::format(
      "[train.model] --block_size is longer than the model's positions: got {}, expected at most "
      "{} ({}).",
      tokens, limit.tokens, limit.name));
}

data::Tokenizer load_tokenizer(const config::ModelConfig& model) {
  return data::Tokenizer::load(model.tokenizer_name_or_path.empty() ? model.model_name_or_path
                                                                    : model.tokenizer_name_or_path);
}

}  // namespace zt::train
