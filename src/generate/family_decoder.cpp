#include "generate/family_decoder.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "generate/qwen3_decoder.h"

namespace zt::generate {
namespace {

[[noreturn]] void refuse(const model::Model& config) {
  throw ConfigError(
      fmt::format("[generate.model] generation with {} is not built: expected Qwen3ForCausalLM. "
                  "Its saved folder loads in transformers.",
                  config.architecture()));
}

}  // namespace

std::unique_ptr<Decoder> make_decoder(const model::Model& config, const layer::ModelParts& model,
                                      Weights weights, DecoderShape shape) {
  if (const auto* qwen3 = config.as<model::Qwen3Config>()) {
    return make_qwen3_decoder(*qwen3, model, std::move(weights), shape);
  }
  refuse(config);
}

DecoderMemory decoder_memory(const model::Model& config, const layer::ModelParts& model,
                             DType compute, Device device, DecoderShape shape,
                             std::int64_t longest_prompt, int world) {
  if (const auto* qwen3 = config.as<model::Qwen3Config>()) {
    return qwen3_decoder_memory(*qwen3, model, compute, device, shape, longest_prompt, world);
  }
  refuse(config);
}

}  // namespace zt::generate
