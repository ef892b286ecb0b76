#include "kernels/qk_norm_rope/qk_norm_rope.h"

#include <algorithm>
#include <cmath>

#include "kernels/qk_norm_rope/qk_norm_rope_impl.h"

namespace zt::kernels {
namespace {

struct Sizes {
  std::int64_t tokens, q, kv, qkv, heads;
};

Sizes sizes_of(const QkNormRopeShape& shape) {
  const auto tokens = shape.batch * shape.sequence;
  const auto q = tokens * shape.q_heads * shape.head_dim;
  const auto kv = tokens * shape.kv_heads * shape.head_dim;
  return {tokens, q, kv, q + 2 * kv, shape.q_heads + shape.kv_heads};
}

void check(bool condition) { ZT_ASSERT(condition, "qk_norm_rope view of a wrong size or dtype"); }

}  // namespace

std::int64_t qk_norm_rope_workspace(const QkNormRopeShape& shape) {
  constexpr std::int64_t kGpuPartials = 1024;  // eight per multiprocessor of an H200
  const auto tokens = shape.batch * shape.sequence;
  const auto cpu = (tokens + kQkTokensPerPartial - 1) / kQkTokensPerPartial;
  return std::max(cpu, std::min(tokens, kGpuPartials)) * 2 * shape.head_dim;
}

void qk_norm_rope_forward(const QkNormRopeForward& io, const QkNormRopeShape& shape,
                          const Launch& launch) {
  const auto sizes = sizes_of(shape);
  const auto dtype = io.qkv.dtype;
  check(shape.head_dim % 2 == 0 && io.qkv.numel == sizes.qkv);
  check(io.q.numel == sizes.q && io.q.dtype == dtype && io.k.numel == sizes.kv &&
        io.k.dtype == dtype);
  check(io.v.numel == sizes.kv && io.v.dtype == dtype);
  check(io.positions.numel == sizes.tokens && io.positions.dtype == DType::i64);
  check(io.cos_sin.dtype == DType::f32 && io.cos_sin.numel % shape.head_dim == 0);
  if (shape.qk_norm) {
    check(io.q_weight.numel == shape.head_dim && io.k_weight.numel == shape.head_dim);
    check(io.rstd.numel == sizes.tokens * sizes.heads && io.rstd.dtype == DType::f32);
  }
  if (sizes.tokens == 0) return;
  switch (launch.device) {
    case Device::cpu:
      return qk_norm_rope_forward_cpu(io, shape);
    case Device::cuda:
      return qk_norm_rope_forward_cuda(io, shape, launch.stream);
  }
}

void qk_norm_rope_backward(const QkNormRopeBackward& io, const QkNormRopeShape& shape,
                           const Launch& launch) {
  const auto sizes = sizes_of(shape);
  const auto dtype = io.qkv.dtype;
  check(io.qkv.numel == sizes.qkv && io.grad_qkv.numel == sizes.qkv && io.grad_qkv.dtype == dtype);
  check(io.grad_q.numel == sizes.q && io.grad_q.dtype == dtype);
  check(io.grad_k.numel == sizes.kv && io.grad_v.numel == sizes.kv && io.grad_k.dtype == dtype);
  check(io.positions.numel == sizes.tokens && io.cos_sin.dtype == DType::f32);
  if (shape.qk_norm) {
    check(io.grad_q_weight.numel == shape.head_dim && io.grad_k_weight.numel == shape.head_dim);
    check(io.workspace.dtype == DType::f32 && io.workspace.numel >= qk_norm_rope_workspace(shape));
  }
  if (sizes.tokens == 0) return;
  switch (launch.device) {
    case Device::cpu:
      return qk_norm_rope_backward_cpu(io, shape);
    case Device::cuda:
      return qk_norm_rope_backward_cuda(io, shape, launch.stream);
  }
}

void rope_table(const View& table, std::int64_t max_position, std::int64_t head_dim, double theta) {
  ZT_ASSERT(table.numel == max_position * head_dim && table.dtype == DType::f32, "rope table size");
  const auto half = head_dim / 2;
  auto* values = table.as<float>();
  for (std::int64_t i = 0; i < half; ++i) {
    // Frequencies and angles in fp32, as Hugging Face computes them.
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const auto frequency = 1.0F / std::pow(static_cast<float>(theta), exponent);
    for (std::int64_t p = 0; p < max_position; ++p) {
      const float angle = static_cast<float>(p) * frequency;
      values[p * head_dim + i] = std::cos(angle);
      values[p * head_dim + half + i] = std::sin(angle);
    }
  }
}

}  // namespace zt::kernels
