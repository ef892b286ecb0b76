#pragma once

#include <memory>

#include "generate/decoder.h"
#include "generate/weights.h"
#include "model/mamba.h"

namespace zt::generate {

/// Mamba with a state of constant size per slot and layer: the last conv - 1 inputs of the
/// convolution in the compute dtype, and the scan's state in fp32. `model` gives the parameters of
/// each layer and is not kept.
[[nodiscard]] std::unique_ptr<Decoder> make_mamba_decoder(const model::MambaConfig& config,
                                                          const layer::ModelParts& model,
                                                          Weights weights, DecoderShape shape);

/// What it needs, before anything is allocated. `longest_prompt`: tokens of the longest prefill.
[[nodiscard]] DecoderMemory mamba_decoder_memory(const model::MambaConfig& config,
                                                 const layer::ModelParts& model, DType compute,
                                                 Device device, DecoderShape shape,
                                                 std::int64_t longest_prompt, int world);

}  // namespace zt::generate
