#include "kernels/swiglu/swiglu.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <limits>

#include "kernels/cpu/test_values.h"
#include "kernels/swiglu/swiglu_ref.h"

namespace zt::kernels {
namespace {

using test::close;
using test::normal;
using test::tolerance;
using test::Values;
using test::zeros;

struct Case {
  std::int64_t rows, ffn;
};
constexpr Case kCases[] = {{1, 1}, {3, 7}, {40, 64}, {17, 1003}};
constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};

TEST(SwigluTest, ForwardAndBackwardMatchTheReference) {
  for (const DType dtype : kFloats) {
    for (const Case& c : kCases) {
      Values gate_up(normal(c.rows * 2 * c.ffn, 1, 4), dtype);
      Values grad(normal(c.rows * c.ffn, 2), dtype);
      Values y(zeros(c.rows * c.ffn), dtype);
      const auto in = gate_up.get();
      const auto dy = grad.get();
      std::vector<double> want_y(dy.size());
      std::vector<double> want_grad(in.size());
      const auto ffn = static_cast<std::size_t>(c.ffn);
      for (std::size_t i = 0; i < dy.size(); ++i) {
        const auto gate = i / ffn * 2 * ffn + i % ffn;
        const auto up = gate + ffn;
        want_y[i] = reference::silu(in[gate]) * in[up];
        want_grad[gate] = dy[i] * in[up] * reference::silu_slope(in[gate]);
        want_grad[up] = dy[i] * reference::silu(in[gate]);
      }
      swiglu_forward(gate_up.view(), y.view(), c.rows, c.ffn, {});
      EXPECT_TRUE(close(y, want_y, tolerance(dtype, 2, 0) + tolerance(DType::f32, 8, 0)))
          << c.rows << "x" << c.ffn;
      swiglu_backward(gate_up.view(), grad.view(), gate_up.view(), c.rows, c.ffn, {});  // in place
      EXPECT_TRUE(close(gate_up, want_grad, tolerance(dtype, 2, 0) + tolerance(DType::f32, 12, 0)))
          << c.rows << "x" << c.ffn;
    }
  }
}

TEST(SwigluTest, BitsDoNotDependOnTheNumberOfThreads) {
  constexpr std::int64_t kRows = 211, kFfn = 161;
  std::vector<std::vector<std::uint8_t>> results;
  std::vector<std::vector<std::uint8_t>> grads;
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    Values gate_up(normal(kRows * 2 * kFfn, 1, 4), DType::f32);
    Values grad(normal(kRows * kFfn, 2), DType::f32);
    Values y(zeros(kRows * kFfn), DType::f32);
    swiglu_forward(gate_up.view(), y.view(), kRows, kFfn, {});
    swiglu_backward(gate_up.view(), grad.view(), gate_up.view(), kRows, kFfn, {});
    results.push_back(y.bytes());
    grads.push_back(gate_up.bytes());
  }
  omp_set_num_threads(1);
  for (const std::size_t i : {1U, 2U}) {
    EXPECT_EQ(results[i], results[0]);
    EXPECT_EQ(grads[i], grads[0]);
  }
}

TEST(SwigluTest, LargeGatesStayFiniteAndNaNStaysNaN) {
  Values gate_up({300, -300, std::numeric_limits<double>::quiet_NaN(), 2, 2, 2}, DType::f32);
  Values y(zeros(3), DType::f32);
  swiglu_forward(gate_up.view(), y.view(), 1, 3, {});
  EXPECT_EQ(y.get()[0], 600);
  EXPECT_EQ(y.get()[1], 0);
  EXPECT_TRUE(std::isnan(y.get()[2]));
}

}  // namespace
}  // namespace zt::kernels
