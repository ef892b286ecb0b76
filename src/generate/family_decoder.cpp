#include "generate/family_decoder.h"

#include <utility>

#include "generate/mamba_decoder.h"
#include "generate/qwen3_decoder.h"

namespace zt::generate {

std::unique_ptr<Decoder> make_decoder(const model::Model& config, const layer::ModelParts& model,
                                      Weights weights, DecoderShape shape) {
  if (const auto* mamba = config.as<model::MambaConfig>()) {
    return make_mamba_decoder(*mamba, model, std::move(weights), shape);
  }
  const auto* qwen3 = config.as<model::Qwen3Config>();
  ZT_ASSERT(qwen3 != nullptr, "a family with a decoder");
  return make_qwen3_decoder(*qwen3, model, std::move(weights), shape);
}

DecoderMemory decoder_memory(const model::Model& config, const layer::ModelParts& model,
                             DType compute, Device device, DecoderShape shape,
                             std::int64_t longest_prompt, int world) {
  if (const auto* mamba = config.as<model::MambaConfig>()) {
    return mamba_decoder_memory(*mamba, model, compute, device, shape, longest_prompt, world);
  }
  const auto* qwen3 = config.as<model::Qwen3Config>();
  ZT_ASSERT(qwen3 != nullptr, "a family with a decoder");
  return qwen3_decoder_memory(*qwen3, model, compute, device, shape, longest_prompt, world);
}

}  // namespace zt::generate
