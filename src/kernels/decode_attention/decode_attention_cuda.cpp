#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ge.h>
#include <ATen/ops/masked_fill.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cmath>
#include <limits>

#include "kernels/decode_attention/decode_attention_impl.h"

namespace zt::kernels {
namespace {

bool has_flash(const at::Tensor& q, const DecodeAttentionShape& shape) {
  const bool half = q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
  return half && at::cuda::getCurrentDeviceProperties()->major >= 8 && shape.head_dim % 8 == 0 &&
         shape.head_dim <= 256;
}

/// Every slot is a document of one query and `lengths` of its `capacity` keys; query heads stay
/// grouped inside the library.
void flash(const at::Tensor& q, const at::Tensor& k_cache, const at::Tensor& v_cache,
           const DecodeLengths& lengths, const at::Tensor& out, double scale) {
  const auto result = at::_flash_attention_forward(
      q, k_cache.flatten(0, 1), v_cache.flatten(0, 1), lengths.query_starts, lengths.key_starts,
      /*max_q=*/1, lengths.longest, /*dropout_p=*/0.0, /*is_causal=*/false,
      /*return_debug_mask=*/false, scale, /*window_size_left=*/std::nullopt,
      /*window_size_right=*/std::nullopt, lengths.lengths);
  out.copy_(std::get<0>(result));
}

/// fp32, and head sizes that flash refuses: products over the longest length with a mask.
void masked(const at::Tensor& q, const at::Tensor& k_cache, const at::Tensor& v_cache,
            const DecodeLengths& lengths, const at::Tensor& out, const DecodeAttentionShape& shape,
            double scale) {
  const auto groups = shape.q_heads / shape.kv_heads;
  const auto queries = q.view({shape.slots, shape.kv_heads, groups, shape.head_dim});
  const auto keys = k_cache.narrow(1, 0, lengths.longest).permute({0, 2, 3, 1});
  const auto values = v_cache.narrow(1, 0, lengths.longest).permute({0, 2, 1, 3});
  const auto positions = at::arange(lengths.longest, lengths.lengths.options());
  const auto hidden = at::ge(positions.unsqueeze(0), lengths.lengths.unsqueeze(1))
                          .view({shape.slots, 1, 1, lengths.longest});
  auto scores = at::matmul(queries, keys).to(at::kFloat).mul_(scale);
  scores = scores.masked_fill(hidden, -std::numeric_limits<float>::infinity());
  const auto weights = at::softmax(scores, -1).to(q.scalar_type());
  out.copy_(at::matmul(weights, values).view_as(out));
}

}  // namespace

void decode_attention_cuda(const at::Tensor& q, const at::Tensor& k_cache,
                           const at::Tensor& v_cache, const DecodeLengths& lengths,
                           const at::Tensor& out, const DecodeAttentionShape& shape, void* stream) {
  const c10::cuda::CUDAStreamGuard guard(
      c10::cuda::getStreamFromExternal(static_cast<cudaStream_t>(stream), q.device().index()));
  const at::AutoDispatchBelowAutograd below_autograd;
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  if (has_flash(q, shape)) return flash(q, k_cache, v_cache, lengths, out, scale);
  masked(q, k_cache, v_cache, lengths, out, shape, scale);
}

}  // namespace zt::kernels
