#include "kernels/attention/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "kernels/attention/attention_cudnn.h"
#include "kernels/attention/attention_ref.h"
#include "kernels/cpu/test_tensors.h"
#include "memory/torch_dtype.h"

namespace zt::kernels {
namespace {

using memory::dtype_of;
using test::doubles;
using test::random_tensor;

struct Pass {
  AttentionShape shape;
  at::Tensor cu_seqlens, q, k, v, out, log_sum_exp, grad_out, grad_q, grad_k, grad_v;

  Pass(const AttentionShape& s, at::ScalarType dtype, const std::vector<std::int32_t>& starts)
      : shape(s) {
    if (!starts.empty()) {
      cu_seqlens = at::empty({static_cast<std::int64_t>(starts.size())}, at::kInt);
      std::copy(starts.begin(), starts.end(), cu_seqlens.data_ptr<std::int32_t>());
    }
    q = random_tensor({s.batch, s.sequence, s.q_heads, s.head_dim}, 1, dtype);
    k = random_tensor({s.batch, s.sequence, s.kv_heads, s.head_dim}, 2, dtype);
    v = random_tensor({s.batch, s.sequence, s.kv_heads, s.head_dim}, 3, dtype);
    grad_out = random_tensor({s.batch, s.sequence, s.q_heads, s.head_dim}, 4, dtype);
    out = at::empty(q.sizes(), q.options());
    grad_q = at::empty(q.sizes(), q.options());
    grad_k = at::empty(k.sizes(), k.options());
    grad_v = at::empty(v.sizes(), v.options());
    log_sum_exp = at::empty({s.batch, s.q_heads, s.sequence}, at::kFloat);
    attention_forward(q, k, v, cu_seqlens, out, log_sum_exp, s, true, {});
    attention_backward({q, k, v, cu_seqlens, out, log_sum_exp, grad_out, grad_q, grad_k, grad_v}, s,
                       true, {});
  }
};

void expect_close(const at::Tensor& got, const std::vector<double>& want, double limit,
                  const char* what) {
  EXPECT_TRUE(test::close(test::Values(doubles(got), dtype_of(got.scalar_type())), want, limit))
      << what;
}

/// Writes values to a piece of a larger tensor.
void place(const at::Tensor& piece, const std::vector<double>& values) {
  const auto host = at::empty(piece.sizes(), at::kDouble);
  std::copy(values.begin(), values.end(), host.data_ptr<double>());
  piece.copy_(host);
}

void expect_reference(const AttentionShape& shape, at::ScalarType dtype,
                      const std::vector<std::int32_t>& starts) {
  const Pass pass(shape, dtype, starts);
  const auto like = [](const at::Tensor& x) { return at::empty(x.sizes(), at::kDouble); };
  const auto out = like(pass.out), log_sum_exp = like(pass.log_sum_exp);
  const auto grad_q = like(pass.grad_q), grad_k = like(pass.grad_k), grad_v = like(pass.grad_v);
  auto pieces = starts;
  for (std::int64_t row = 0; starts.empty() && row <= shape.batch; ++row) {
    pieces.push_back(static_cast<std::int32_t>(row * shape.sequence));
  }
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
    const std::int64_t row = pieces[i] / shape.sequence;
    const std::int64_t first = pieces[i] % shape.sequence;
    const std::int64_t length = pieces[i + 1] - pieces[i];
    if (length == 0) continue;
    const auto cut = [&](const at::Tensor& x) { return x.select(0, row).narrow(0, first, length); };
    const reference::Attention want{length, shape.q_heads, shape.kv_heads, shape.head_dim};
    const auto q = doubles(cut(pass.q)), k = doubles(cut(pass.k)), v = doubles(cut(pass.v));
    const auto forward = want.forward(q, k, v);
    place(cut(out), forward.out);
    place(log_sum_exp.select(0, row).narrow(1, first, length), forward.log_sum_exp);
    const auto grads = want.backward(q, k, v, doubles(cut(pass.grad_out)));
    place(cut(grad_q), grads.q);
    place(cut(grad_k), grads.k);
    place(cut(grad_v), grads.v);
  }
  // 16 bit: probabilities, their gradients and the results are rounded; fp32: sums over head_dim
  // and keys. Relative to the whole tensor's values: in short documents gradients cancel to zero.
  const double limit = test::tolerance(dtype_of(dtype), 6, 32 * (shape.sequence + shape.head_dim));
  expect_close(pass.out, doubles(out), limit, "out");
  expect_close(pass.log_sum_exp, doubles(log_sum_exp), limit, "log_sum_exp");
  expect_close(pass.grad_q, doubles(grad_q), limit, "grad_q");
  expect_close(pass.grad_k, doubles(grad_k), limit, "grad_k");
  expect_close(pass.grad_v, doubles(grad_v), limit, "grad_v");
}

TEST(AttentionTest, ForwardAndBackwardMatchTheReference) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    expect_reference({2, 13, 6, 2, 16}, dtype, {});
    expect_reference({1, 70, 2, 2, 10}, dtype, {});
  }
}

TEST(AttentionTest, DocumentsDoNotSeeEachOther) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    expect_reference({2, 17, 4, 2, 16}, dtype, {0, 1, 9, 17, 17, 30, 34});
  }
}

TEST(AttentionTest, TwoCallsGiveTheSameBits) {
  const Pass one({2, 65, 4, 2, 32}, at::kFloat, {});
  const Pass two({2, 65, 4, 2, 32}, at::kFloat, {});
  EXPECT_TRUE(at::equal(one.out, two.out));
  EXPECT_TRUE(at::equal(one.grad_q, two.grad_q));
  EXPECT_TRUE(at::equal(one.grad_k, two.grad_k));
  EXPECT_TRUE(at::equal(one.grad_v, two.grad_v));
}

TEST(AttentionTest, DeterministicScoresAreCountedWhereTheyAreWritten) {
  const AttentionShape shape{2, 1024, 16, 8, 128};
  const auto more = [](const AttentionShape& of, DType compute, Device device) {
    return (attention_library(of, compute, device, true) -
            attention_library(of, compute, device, false))
        .value;
  };
  constexpr std::int64_t kScores = std::int64_t{2} * 16 * 1024 * 1024 * 2;
  EXPECT_EQ(more(shape, DType::bf16, Device::cuda), attention_cudnn_available() ? kScores : 0);
  EXPECT_EQ(more(shape, DType::f32, Device::cuda), 0);
  EXPECT_EQ(more(shape, DType::bf16, Device::cpu), 0);
  EXPECT_EQ(more({1, kMaxCudnnScores + 1, 16, 8, 128}, DType::bf16, Device::cuda), 0);
}

}  // namespace
}  // namespace zt::kernels
