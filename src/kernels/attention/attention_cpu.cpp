#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>

#include "kernels/attention/attention_impl.h"

namespace zt::kernels {
namespace {

/// [B, T, H, D] as the library wants it, [B, H, T, D], with every kv head repeated for its group.
at::Tensor heads_first(const at::Tensor& x, std::int64_t groups) {
  const auto y = x.transpose(1, 2);
  if (groups == 1) return y;
  return y.unsqueeze(2)
      .expand({y.size(0), y.size(1), groups, y.size(2), y.size(3)})
      .reshape({y.size(0), y.size(1) * groups, y.size(2), y.size(3)});
}

/// Sums the gradients of a kv head's group, in the order of the query heads, into [B, T, Hkv, D].
void store_group_sum(const at::Tensor& grad, std::int64_t groups, const at::Tensor& to) {
  if (groups == 1) {
    to.copy_(grad.transpose(1, 2));
    return;
  }
  const auto parts =
      grad.view({grad.size(0), grad.size(1) / groups, groups, grad.size(2), grad.size(3)});
  auto sum = parts.select(2, 0).to(at::kFloat, false, true);
  for (std::int64_t g = 1; g < groups; ++g) sum.add_(parts.select(2, g));
  to.copy_(sum.transpose(1, 2));
}

/// The library's fp16 path is many times slower than its fp32 path where the CPU does not multiply
/// fp16; widening is exact. Other dtypes stay as they are.
at::Tensor operand(const at::Tensor& x) {
  return x.scalar_type() == at::kHalf ? x.to(at::kFloat) : x;
}

/// One piece of the batch in which attention is causal: some rows, or one document.
struct Piece {
  at::Tensor q, k, v, out, log_sum_exp;
};

void forward_piece(const Piece& piece, std::int64_t groups) {
  const auto [out, log_sum_exp] = at::_scaled_dot_product_flash_attention_for_cpu(
      operand(piece.q).transpose(1, 2), heads_first(operand(piece.k), groups),
      heads_first(operand(piece.v), groups), 0.0, true);
  piece.out.copy_(out.transpose(1, 2));
  piece.log_sum_exp.copy_(log_sum_exp);
}

void backward_piece(const Piece& piece, const at::Tensor& grad_out, const at::Tensor& grad_q,
                    const at::Tensor& grad_k, const at::Tensor& grad_v, std::int64_t groups) {
  const auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      operand(grad_out).transpose(1, 2), operand(piece.q).transpose(1, 2),
      heads_first(operand(piece.k), groups), heads_first(operand(piece.v), groups),
      operand(piece.out).transpose(1, 2), piece.log_sum_exp.contiguous(), 0.0, true);
  grad_q.copy_(dq.transpose(1, 2));
  store_group_sum(dk.contiguous(), groups, grad_k);
  store_group_sum(dv.contiguous(), groups, grad_v);
}

/// Calls visit(row, first token, length) for each document; documents do not cross rows.
template <typename Visit>
void for_documents(const at::Tensor& cu_seqlens, std::int64_t sequence, const Visit& visit) {
  const auto* starts = cu_seqlens.const_data_ptr<std::int32_t>();
  for (std::int64_t i = 0; i + 1 < cu_seqlens.numel(); ++i) {
    const std::int64_t begin = starts[i];
    const std::int64_t length = starts[i + 1] - begin;
    if (length > 0) visit(begin / sequence, begin % sequence, length);
  }
}

}  // namespace

void attention_forward_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& cu_seqlens, const at::Tensor& out,
                           const at::Tensor& log_sum_exp, const AttentionShape& shape) {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto groups = shape.q_heads / shape.kv_heads;
  if (!cu_seqlens.defined()) {
    forward_piece({q, k, v, out, log_sum_exp}, groups);
    return;
  }
  for_documents(cu_seqlens, shape.sequence, [&](auto row, auto first, auto length) {
    const auto cut = [&](const at::Tensor& x) {
      return x.narrow(0, row, 1).narrow(1, first, length);
    };
    forward_piece(
        {cut(q), cut(k), cut(v), cut(out), log_sum_exp.narrow(0, row, 1).narrow(2, first, length)},
        groups);
  });
}

void attention_backward_cpu(const AttentionBackward& io, const AttentionShape& shape) {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto groups = shape.q_heads / shape.kv_heads;
  if (!io.cu_seqlens.defined()) {
    backward_piece({io.q, io.k, io.v, io.out, io.log_sum_exp}, io.grad_out, io.grad_q, io.grad_k,
                   io.grad_v, groups);
    return;
  }
  for_documents(io.cu_seqlens, shape.sequence, [&](auto row, auto first, auto length) {
    const auto cut = [&](const at::Tensor& x) {
      return x.narrow(0, row, 1).narrow(1, first, length);
    };
    backward_piece({cut(io.q), cut(io.k), cut(io.v), cut(io.out),
                    io.log_sum_exp.narrow(0, row, 1).narrow(2, first, length)},
                   cut(io.grad_out), cut(io.grad_q), cut(io.grad_k), cut(io.grad_v), groups);
  });
}

}  // namespace zt::kernels
