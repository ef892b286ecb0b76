#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>

#include <array>

#include "kernels/decode_attention/decode_attention_impl.h"

namespace zt::kernels {
namespace {

/// The library's fp16 path is many times slower than its fp32 path; widening is exact.
at::Tensor operand(const at::Tensor& x) {
  return x.scalar_type() == at::kHalf ? x.to(at::kFloat) : x;
}

/// The first `length` tokens of a slot as [1, Hkv, length, D], a view.
at::Tensor cached(const at::Tensor& cache, std::int64_t slot, std::int64_t length) {
  return cache.select(0, slot).narrow(0, 0, length).transpose(0, 1).unsqueeze(0);
}

}  // namespace

void decode_attention_cpu(const at::Tensor& q, const at::Tensor& k_cache, const at::Tensor& v_cache,
                          const DecodeLengths& lengths, const at::Tensor& out,
                          const DecodeAttentionShape& shape) {
  const at::AutoDispatchBelowAutograd below_autograd;
  // The query heads of a kv head are the rows of one small attention: no head is repeated.
  const std::array<std::int64_t, 4> grouped{1, shape.kv_heads, shape.q_heads / shape.kv_heads,
                                            shape.head_dim};
  for (std::int64_t slot = 0; slot < shape.slots; ++slot) {
    const std::int64_t length = lengths.host[static_cast<std::size_t>(slot)];
    const auto result = at::_scaled_dot_product_flash_attention_for_cpu(
        operand(q.select(0, slot).view(grouped)), operand(cached(k_cache, slot, length)),
        operand(cached(v_cache, slot, length)), 0.0, /*is_causal=*/false);
    out.select(0, slot).view(grouped).copy_(std::get<0>(result));
  }
}

}  // namespace zt::kernels
