#pragma once

#include <memory>

#include "generate/decoder.h"
#include "generate/weights.h"
#include "model/qwen3.h"

namespace zt::generate {

/// Qwen3 with a cache of keys and values: slots x capacity x kv heads x head_dim, twice per layer,
/// in the compute dtype. `model` gives the parameters of each layer and is not kept.
/// Errors: DeviceError when the device has no memory for the cache.
[[nodiscard]] std::unique_ptr<Decoder> make_qwen3_decoder(const model::Qwen3Config& config,
                                                          const layer::ModelParts& model,
                                                          Weights weights, DecoderShape shape);

/// What it needs, before anything is allocated. `longest_prompt`: tokens of the longest prefill.
[[nodiscard]] DecoderMemory qwen3_decoder_memory(const model::Qwen3Config& config,
                                                 const layer::ModelParts& model, DType compute,
                                                 Device device, DecoderShape shape,
                                                 std::int64_t longest_prompt, int world);

}  // namespace zt::generate
