// GEMM and attention against the same mathematics in fp64 on the device.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/attention.h"
#include "kernels/cuda_test/device_buffer.h"
#include "kernels/gemm/gemm.h"
#include "memory/torch_dtype.h"

namespace zt::kernels::cuda_test {
namespace {

at::Tensor random(at::IntArrayRef sizes, DType dtype, unsigned seed) {
  auto values = normal(c10::multiply_integers(sizes), seed);
  return at::from_blob(values.data(), sizes, at::kDouble)
      .to(memory::scalar_type(dtype))
      .to(at::kCUDA);
}

std::vector<double> values_of(const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kDouble).contiguous().cpu();
  const auto* first = host.const_data_ptr<double>();
  return {first, first + host.numel()};
}

at::Tensor exact(const at::Tensor& tensor) { return tensor.to(at::kDouble); }

struct GemmCase {
  std::int64_t n, in, out;
};

void expect_gemm(const GemmCase& c, DType dtype) {
  SCOPED_TRACE(testing::Message() << to_string(dtype) << " " << c.n << " " << c.in << " " << c.out);
  const at::Tensor x = random({c.n, c.in}, dtype, 1);
  const at::Tensor weight = random({c.out, c.in}, dtype, 2);
  const at::Tensor y = random({c.n, c.out}, dtype, 3);
  linear_forward(x, weight, y);
  EXPECT_EQ(compare(values_of(y), values_of(at::mm(exact(x), exact(weight).t())), unit(dtype)), "");

  const at::Tensor grad_y = random({c.n, c.out}, dtype, 4);
  const at::Tensor grad_x = random({c.n, c.in}, dtype, 5);
  const at::Tensor through = at::mm(exact(grad_y), exact(weight));
  const at::Tensor added = exact(grad_x) + through;
  linear_backward_input(grad_y, weight, grad_x, /*accumulate=*/true);
  EXPECT_EQ(compare(values_of(grad_x), values_of(added), unit(dtype)), "");
  linear_backward_input(grad_y, weight, grad_x, /*accumulate=*/false);
  EXPECT_EQ(compare(values_of(grad_x), values_of(through), unit(dtype)), "");

  for (const DType grad_dtype : {DType::f32, dtype}) {
    const at::Tensor grad_weight = random({c.out, c.in}, grad_dtype, 6);
    const at::Tensor before = grad_weight.clone();
    const at::Tensor want = exact(grad_weight) + at::mm(exact(grad_y).t(), exact(x));
    linear_backward_weight(grad_y, x, grad_weight);
    EXPECT_EQ(compare(values_of(grad_weight), values_of(want), unit(grad_dtype)), "");
    const at::Tensor again = before.clone();
    linear_backward_weight(grad_y, x, again);
    EXPECT_TRUE(again.equal(grad_weight)) << "two runs differ";
  }
}

TEST(CudaGemmTest, MatchesFp64AndNeverUsesTf32) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const GemmCase& c : {GemmCase{1, 1, 1}, GemmCase{5, 7, 3}, GemmCase{64, 128, 256},
                              GemmCase{333, 1000, 513}, GemmCase{2048, 96, 40}}) {
      expect_gemm(c, dtype);
    }
  }
}

/// Attention over all heads in fp64 with an explicit mask; tensors are [H, N, D], N all tokens.
struct Reference {
  at::Tensor out, log_sum_exp, grad_q, grad_k, grad_v;
};

at::Tensor per_head(const at::Tensor& tensor, std::int64_t repeat) {
  return exact(tensor).flatten(0, 1).transpose(0, 1).repeat_interleave(repeat, 0);
}

Reference reference(const AttentionBackward& io, const AttentionShape& shape,
                    const std::vector<int>& starts) {
  const std::int64_t tokens = shape.batch * shape.sequence;
  const std::int64_t group = shape.q_heads / shape.kv_heads;
  std::vector<double> owner(static_cast<std::size_t>(tokens));
  for (std::size_t d = 1; d < starts.size(); ++d) {
    for (int i = starts[d - 1]; i < starts[d]; ++i) owner[static_cast<std::size_t>(i)] = double(d);
  }
  const at::Tensor document = at::from_blob(owner.data(), {tokens}, at::kDouble).to(at::kCUDA);
  const at::Tensor position = at::arange(tokens, document.options());
  const at::Tensor hidden = document.unsqueeze(1)
                                .ne(document.unsqueeze(0))
                                .logical_or(position.unsqueeze(1).lt(position.unsqueeze(0)));
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  const at::Tensor q = per_head(io.q, 1);
  const at::Tensor k = per_head(io.k, group);
  const at::Tensor v = per_head(io.v, group);
  const at::Tensor grad = per_head(io.grad_out, 1);
  const at::Tensor scores = (q.matmul(k.transpose(1, 2)) * scale)
                                .masked_fill(hidden, -std::numeric_limits<double>::infinity());
  Reference want;
  want.log_sum_exp = scores.logsumexp({-1});
  const at::Tensor weights = (scores - want.log_sum_exp.unsqueeze(-1)).exp();
  want.out = weights.matmul(v);
  const at::Tensor grad_weights = grad.matmul(v.transpose(1, 2));
  const at::Tensor grad_scores =
      weights * (grad_weights - (grad_weights * weights).sum(-1, /*keepdim=*/true));
  const auto folded = [&](const at::Tensor& heads) {
    return heads.unflatten(0, {shape.kv_heads, group}).sum(1);
  };
  want.grad_q = grad_scores.matmul(k) * scale;
  want.grad_k = folded(grad_scores.transpose(1, 2).matmul(q) * scale);
  want.grad_v = folded(weights.transpose(1, 2).matmul(grad));
  return want;
}

/// [H, N, D] as [B, T, H, D].
at::Tensor by_token(const at::Tensor& tensor, const AttentionShape& shape) {
  return tensor.transpose(0, 1).unflatten(0, {shape.batch, shape.sequence});
}

/// Allowance for the gradients of q and k where every token sees only itself: they are scale ds k
/// and scale ds q, and ds = sum_d(g v) - sum_d(g out) is 0 as out = v. Each sum of D products has
/// at most D roundings, and 4 more come with the weight of 1 in out: the exponent, exp, the sum's
/// reciprocal and the product. So |ds| <= (2 D + 4) roundings of sum_d |g v|. None for longer
/// sequences.
double self_attention_floor(const AttentionBackward& io, const AttentionShape& shape) {
  if (shape.sequence != 1) return 0;
  const std::int64_t group = shape.q_heads / shape.kv_heads;
  const double terms =
      (per_head(io.grad_out, 1) * per_head(io.v, group)).abs().sum(-1).max().item<double>();
  const double factor =
      std::max(exact(io.q).abs().max().item<double>(), exact(io.k).abs().max().item<double>());
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  return static_cast<double>(2 * shape.head_dim + 4) * kFp32Rounding * terms * factor * scale;
}

AttentionBackward random_io(const AttentionShape& s, DType dtype) {
  const auto make = [&](std::int64_t heads, unsigned seed) {
    return random({s.batch, s.sequence, heads, s.head_dim}, dtype, seed);
  };
  AttentionBackward io;
  io.q = make(s.q_heads, 1);
  io.k = make(s.kv_heads, 2);
  io.v = make(s.kv_heads, 3);
  io.grad_out = make(s.q_heads, 4);
  io.out = make(s.q_heads, 5);
  io.grad_q = make(s.q_heads, 6);
  io.grad_k = make(s.kv_heads, 7);
  io.grad_v = make(s.kv_heads, 8);
  io.log_sum_exp = random({s.batch, s.q_heads, s.sequence}, DType::f32, 9);
  return io;
}

void expect_attention(const AttentionShape& shape, DType dtype, std::vector<int> starts,
                      bool deterministic, bool starts_on_device = false) {
  SCOPED_TRACE(testing::Message() << to_string(dtype) << " B" << shape.batch << " T"
                                  << shape.sequence << " H" << shape.q_heads << "/"
                                  << shape.kv_heads << " D" << shape.head_dim << " documents "
                                  << starts.size() << " deterministic " << deterministic);
  AttentionBackward io = random_io(shape, dtype);
  if (!starts.empty()) {
    io.cu_seqlens =
        at::from_blob(starts.data(), {static_cast<std::int64_t>(starts.size())}, at::kInt).clone();
    if (starts_on_device) io.cu_seqlens = io.cu_seqlens.to(at::kCUDA);
  } else {
    for (int row = 0; row <= shape.batch; ++row) {
      starts.push_back(row * static_cast<int>(shape.sequence));
    }
  }
  const auto run = [&] {
    attention_forward(io.q, io.k, io.v, io.cu_seqlens, io.out, io.log_sum_exp, shape, deterministic,
                      device_launch());
    attention_backward(io, shape, deterministic, device_launch());
    synchronize();
  };
  run();
  if (deterministic) {
    const std::vector<at::Tensor> first = {io.out.clone(), io.log_sum_exp.clone(),
                                           io.grad_q.clone(), io.grad_k.clone(), io.grad_v.clone()};
    run();
    const std::vector<at::Tensor> second = {io.out, io.log_sum_exp, io.grad_q, io.grad_k,
                                            io.grad_v};
    for (std::size_t i = 0; i < first.size(); ++i) {
      EXPECT_TRUE(first[i].equal(second[i])) << "two runs differ in output " << i;
    }
  }
  const Reference want = reference(io, shape, starts);
  const auto expect_close = [&](const at::Tensor& got, const at::Tensor& wanted, const char* what,
                                double floor = 0) {
    EXPECT_EQ(compare(values_of(got), values_of(by_token(wanted, shape)), unit(dtype), floor), "")
        << what;
  };
  const double floor = self_attention_floor(io, shape);
  expect_close(io.out, want.out, "out");
  expect_close(io.grad_q, want.grad_q, "grad_q", floor);
  expect_close(io.grad_k, want.grad_k, "grad_k", floor);
  expect_close(io.grad_v, want.grad_v, "grad_v");
  EXPECT_EQ(compare(values_of(io.log_sum_exp.permute({0, 2, 1})),
                    values_of(by_token(want.log_sum_exp.unsqueeze(-1), shape)), 1e-5),
            "")
      << "log-sum-exp";
}

TEST(CudaAttentionTest, CausalMatchesFp64) {
  const AttentionShape shapes[] = {{1, 1, 1, 1, 64},    {2, 33, 4, 2, 64},  {2, 128, 8, 2, 128},
                                   {1, 300, 6, 6, 80},  {2, 257, 4, 1, 96}, {1, 130, 2, 1, 256},
                                   {2, 200, 4, 2, 128}, {3, 64, 4, 4, 32},  {1, 1024, 8, 2, 128}};
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const AttentionShape& shape : shapes) {
      for (const bool deterministic : {false, true}) {
        expect_attention(shape, dtype, {}, deterministic);
      }
    }
  }
}

TEST(CudaAttentionTest, DocumentsDoNotSeeEachOther) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const bool deterministic : {false, true}) {
      const AttentionShape shape{2, 100, 4, 2, 64};
      expect_attention(shape, dtype, {0, 37, 100, 101, 200}, deterministic);
      expect_attention(shape, dtype, {0, 37, 100, 101, 200}, deterministic, true);
      expect_attention(shape, dtype, {0, 100, 160, 200, 200, 200}, deterministic);
    }
  }
}

}  // namespace
}  // namespace zt::kernels::cuda_test
