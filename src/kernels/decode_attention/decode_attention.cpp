#include "kernels/decode_attention/decode_attention.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "kernels/decode_attention/decode_attention_impl.h"

namespace zt::kernels {
namespace {

at::Tensor int_tensor(const std::vector<std::int32_t>& values, const at::Tensor& like) {
  const auto host = at::empty({static_cast<std::int64_t>(values.size())}, at::kInt);
  std::copy(values.begin(), values.end(), host.data_ptr<std::int32_t>());
  return host.to(like.device());
}

}  // namespace

DecodeLengths make_decode_lengths(std::span<const std::int32_t> lengths, std::int64_t capacity,
                                  const at::Tensor& like) {
  DecodeLengths result;
  result.host.assign(lengths.begin(), lengths.end());
  for (const auto length : lengths) {
    ZT_ASSERT(length >= 1 && length <= capacity, "a cache of one to capacity tokens");
    result.longest = std::max<std::int64_t>(result.longest, length);
  }
  if (!like.is_cuda()) return result;
  std::vector<std::int32_t> queries, keys;
  for (std::size_t i = 0; i <= lengths.size(); ++i) {
    queries.push_back(checked_narrow<std::int32_t>(i));
    keys.push_back(checked_narrow<std::int32_t>(static_cast<std::int64_t>(i) * capacity));
  }
  result.lengths = int_tensor(result.host, like);
  result.query_starts = int_tensor(queries, like);
  result.key_starts = int_tensor(keys, like);
  return result;
}

void decode_attention(const at::Tensor& q, const at::Tensor& k_cache, const at::Tensor& v_cache,
                      const DecodeLengths& lengths, const at::Tensor& out,
                      const DecodeAttentionShape& shape, const Launch& launch) {
  ZT_ASSERT(q.dim() == 3 && q.size(0) == shape.slots && q.size(1) == shape.q_heads &&
                q.size(2) == shape.head_dim && shape.q_heads % shape.kv_heads == 0 &&
                out.sizes() == q.sizes(),
            "decode attention: query shapes");
  ZT_ASSERT(k_cache.dim() == 4 && k_cache.size(0) == shape.slots &&
                k_cache.size(1) == shape.capacity && k_cache.size(2) == shape.kv_heads &&
                k_cache.size(3) == shape.head_dim && v_cache.sizes() == k_cache.sizes() &&
                k_cache.is_contiguous() && v_cache.is_contiguous(),
            "decode attention: cache shapes");
  ZT_ASSERT(static_cast<std::int64_t>(lengths.host.size()) == shape.slots,
            "decode attention: a length per slot");
  switch (launch.device) {
    case Device::cpu:
      return decode_attention_cpu(q, k_cache, v_cache, lengths, out, shape);
    case Device::cuda:
      return decode_attention_cuda(q, k_cache, v_cache, lengths, out, shape, launch.stream);
  }
}

Bytes decode_attention_library(const DecodeAttentionShape& shape, DType compute, Device device) {
  const auto rows = shape.slots * shape.q_heads;
  const auto cache = shape.slots * shape.capacity * shape.kv_heads * shape.head_dim;
  if (device == Device::cpu) {  // one slot at a time; fp16 is widened
    const auto widened = compute == DType::f16 ? 2 * cache / shape.slots : 0;
    return storage({widened + 4 * shape.q_heads * shape.head_dim}, DType::f32);
  }
  if (compute != DType::f32) return storage({4 * rows * shape.head_dim}, DType::f32);
  return storage({2 * cache + 4 * rows * shape.capacity}, DType::f32);
}

}  // namespace zt::kernels
