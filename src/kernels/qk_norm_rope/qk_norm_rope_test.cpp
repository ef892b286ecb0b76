#include "kernels/qk_norm_rope/qk_norm_rope.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "kernels/cpu/test_values.h"
#include "kernels/qk_norm_rope/qk_norm_rope_ref.h"

namespace zt::kernels {
namespace {

using test::close;
using test::normal;
using test::tolerance;
using test::Values;
using test::zeros;

constexpr double kTheta = 10000;

/// All buffers of a forward and backward.
struct Pass {
  QkNormRopeShape shape;
  Values qkv, q_weight, k_weight, table, positions, q, k, v, rstd, grad_q, grad_k, grad_v, grad_qkv,
      grad_q_weight, grad_k_weight;

  static std::vector<double> some_positions(const QkNormRopeShape& s) {
    std::vector<double> positions;  // restart inside a row, as packed documents do
    for (std::int64_t n = 0; n < s.batch * s.sequence; ++n)
      positions.push_back(static_cast<double>(n % s.sequence % 5));
    return positions;
  }

  Pass(const QkNormRopeShape& s, DType dtype)
      : shape(s),
        qkv(normal(tokens() * (s.q_heads + 2 * s.kv_heads) * s.head_dim, 1, 2), dtype),
        q_weight(normal(s.head_dim, 2, 0.3, 1), dtype),
        k_weight(normal(s.head_dim, 3, 0.3, 1), dtype),
        table(zeros(s.sequence * s.head_dim), DType::f32),
        positions(some_positions(s), DType::i64),
        q(zeros(q_numel()), dtype),
        k(zeros(kv_numel()), dtype),
        v(zeros(kv_numel()), dtype),
        rstd(zeros(tokens() * (s.q_heads + s.kv_heads)), DType::f32),
        grad_q(normal(q_numel(), 4), dtype),
        grad_k(normal(kv_numel(), 5), dtype),
        grad_v(normal(kv_numel(), 6), dtype),
        grad_qkv(zeros(tokens() * (s.q_heads + 2 * s.kv_heads) * s.head_dim), dtype),
        grad_q_weight(zeros(s.head_dim), DType::f32),
        grad_k_weight(zeros(s.head_dim), DType::f32) {
    rope_table(table.view(), s.sequence, s.head_dim, kTheta);
    qk_norm_rope_forward({qkv.view(), q_weight.view(), k_weight.view(), table.view(),
                          positions.view(), q.view(), k.view(), v.view(), rstd.view()},
                         s, {});
    Values workspace(zeros(qk_norm_rope_workspace(s)), DType::f32);
    qk_norm_rope_backward(
        {qkv.view(), q_weight.view(), k_weight.view(), table.view(), positions.view(), rstd.view(),
         grad_q.view(), grad_k.view(), grad_v.view(), grad_qkv.view(), grad_q_weight.view(),
         grad_k_weight.view(), workspace.view()},
        s, {});
    EXPECT_TRUE(workspace.guards_hold());
  }
  [[nodiscard]] std::int64_t tokens() const { return shape.batch * shape.sequence; }
  [[nodiscard]] std::int64_t q_numel() const { return tokens() * shape.q_heads * shape.head_dim; }
  [[nodiscard]] std::int64_t kv_numel() const { return tokens() * shape.kv_heads * shape.head_dim; }
};

struct Want {
  std::vector<double> q, k, v, grad_qkv, grad_q_weight, grad_k_weight;
};

void append(std::vector<double>& to, const std::vector<double>& values) {
  to.insert(to.end(), values.begin(), values.end());
}

Want reference_of(const Pass& pass) {
  const auto& s = pass.shape;
  const auto dim = static_cast<std::ptrdiff_t>(s.head_dim);
  Want want{{}, {}, {}, {}, zeros(dim), zeros(dim)};
  const auto qkv = pass.qkv.get();
  const auto grad_q = pass.grad_q.get();
  const auto grad_k = pass.grad_k.get();
  const auto cut = [dim](const std::vector<double>& x, std::int64_t head) {
    return std::vector<double>(x.begin() + head * dim, x.begin() + (head + 1) * dim);
  };
  for (std::int64_t n = 0; n < pass.tokens(); ++n) {
    const auto first = n * (s.q_heads + 2 * s.kv_heads);
    for (std::int64_t h = 0; h < s.q_heads + s.kv_heads; ++h) {
      const bool is_q = h < s.q_heads;
      const auto weight =
          s.qk_norm ? (is_q ? pass.q_weight : pass.k_weight).get() : std::vector<double>();
      const reference::RopeHead head{weight, s.epsilon, kTheta,
                                     pass.positions.get()[static_cast<std::size_t>(n)]};
      const auto x = cut(qkv, first + h);
      append(is_q ? want.q : want.k, head.forward(x));
      const auto grad =
          is_q ? cut(grad_q, n * s.q_heads + h) : cut(grad_k, n * s.kv_heads + h - s.q_heads);
      const auto back = head.backward(x, grad);
      append(want.grad_qkv, back.x);
      auto& sums = is_q ? want.grad_q_weight : want.grad_k_weight;
      for (std::size_t i = 0; i < back.weight.size(); ++i) sums[i] += back.weight[i];
    }
    for (std::int64_t h = 0; h < s.kv_heads; ++h) {
      append(want.v, cut(qkv, first + s.q_heads + s.kv_heads + h));
      append(want.grad_qkv, cut(pass.grad_v.get(), n * s.kv_heads + h));
    }
  }
  return want;
}

TEST(QkNormRopeTest, ForwardAndBackwardMatchTheReference) {
  const QkNormRopeShape shapes[] = {
      {1, 1, 1, 1, 2}, {2, 7, 3, 1, 10}, {1, 45, 4, 2, 64}, {2, 7, 4, 2, 16, false}};
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const auto& shape : shapes) {
      const Pass pass(shape, dtype);
      const auto want = reference_of(pass);
      // Cosines and sines come from fp32 angles: position x 2^-24 on top.
      const double angles = 8 * std::ldexp(1.0, -24);
      const double limit = tolerance(dtype, 4, shape.head_dim) + angles;
      EXPECT_TRUE(close(pass.q, want.q, limit)) << shape.head_dim;
      EXPECT_TRUE(close(pass.k, want.k, limit)) << shape.head_dim;
      EXPECT_EQ(pass.v.get(), want.v);
      EXPECT_TRUE(
          close(pass.grad_qkv, want.grad_qkv,
                tolerance(dtype, 5, shape.head_dim) + angles + tolerance(DType::f32, 6, 0)));
      if (!shape.qk_norm) continue;
      const auto terms = pass.tokens() * shape.q_heads;
      EXPECT_TRUE(
          close(pass.grad_q_weight, want.grad_q_weight, tolerance(dtype, 4, terms) + angles));
      EXPECT_TRUE(
          close(pass.grad_k_weight, want.grad_k_weight, tolerance(dtype, 4, terms) + angles));
    }
  }
}

TEST(QkNormRopeTest, BitsDoNotDependOnTheNumberOfThreads) {
  const QkNormRopeShape shape{2, 67, 4, 2, 32};
  omp_set_num_threads(1);
  const Pass one(shape, DType::f32);
  omp_set_num_threads(3);
  const Pass three(shape, DType::f32);
  omp_set_num_threads(1);
  EXPECT_EQ(one.q.bytes(), three.q.bytes());
  EXPECT_EQ(one.grad_qkv.bytes(), three.grad_qkv.bytes());
  EXPECT_EQ(one.grad_q_weight.bytes(), three.grad_q_weight.bytes());
}

TEST(QkNormRopeTest, TableHoldsTheAnglesOfEveryPosition) {
  Values table(zeros(2048 * 8), DType::f32);
  rope_table(table.view(), 2048, 8, 1e6);
  const auto values = table.get();
  for (const std::size_t p : {0U, 1U, 2047U}) {
    for (std::size_t i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(p) * std::pow(1e6, -static_cast<double>(i) / 4);
      const double limit =
          1e-6 + angle * std::ldexp(1.0, -22);  // fp32 angles, as Hugging Face has them
      EXPECT_NEAR(values[p * 8 + i], std::cos(angle), limit);
      EXPECT_NEAR(values[p * 8 + 4 + i], std::sin(angle), limit);
    }
  }
}

}  // namespace
}  // namespace zt::kernels
