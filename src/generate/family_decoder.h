#pragma once

#include <memory>

#include "generate/decoder.h"
#include "generate/weights.h"
#include "model/family.h"

namespace zt::generate {

/// The decoder of a model's family; `model`: its layers, not kept.
[[nodiscard]] std::unique_ptr<Decoder> make_decoder(const model::Model& config,
                                                    const layer::ModelParts& model, Weights weights,
                                                    DecoderShape shape);

/// What it needs, before anything is allocated. `longest_prompt`: tokens of the longest prefill.
[[nodiscard]] DecoderMemory decoder_memory(const model::Model& config,
                                           const layer::ModelParts& model, DType compute,
                                           Device device, DecoderShape shape,
                                           std::int64_t longest_prompt, int world);

}  // namespace zt::generate
