#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "memory/view.h"

namespace zt::kernels {

/// Attention of one new token per sequence over the sequence's cached keys and values.
/// `slots` sequences at once, each with room for `capacity` tokens.
struct DecodeAttentionShape {
  std::int64_t slots = 0, capacity = 0, q_heads = 0, kv_heads = 0, head_dim = 0;
};

/// Tokens of every slot's cache, the new one included; the same for all layers of a step.
struct DecodeLengths {
  std::vector<std::int32_t> host;  ///< [slots], each from 1 to capacity
  std::int64_t longest = 1;
  // CUDA only, int32 on the device.
  at::Tensor lengths;       ///< [slots]
  at::Tensor query_starts;  ///< [slots + 1]: 0, 1, 2, ...
  at::Tensor key_starts;    ///< [slots + 1]: 0, capacity, 2 x capacity, ...
};

/// `like`: a tensor on the device that will run the attention. Blocks the host on CUDA.
DecodeLengths make_decode_lengths(std::span<const std::int32_t> lengths, std::int64_t capacity,
                                  const at::Tensor& like);

/// out[s] = softmax(q[s] k[s, :length]^T / sqrt(D)) v[s, :length], softmax in fp32; query head j
/// reads kv head j / (Hq / Hkv). Shapes: q, out [slots, Hq, D]; k and v caches
/// [slots, capacity, Hkv, D]; one dtype. What a cache holds behind a slot's length is not read into
/// the result. A slot's result depends on nothing of the other slots but, on CUDA in fp32, the
/// longest length.
void decode_attention(const at::Tensor& q, const at::Tensor& k_cache, const at::Tensor& v_cache,
                      const DecodeLengths& lengths, const at::Tensor& out,
                      const DecodeAttentionShape& shape, const Launch& launch);

/// Upper estimate of what ATen allocates during one call.
Bytes decode_attention_library(const DecodeAttentionShape& shape, DType compute, Device device);

}  // namespace zt::kernels
