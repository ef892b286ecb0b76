#include "kernels/rms_norm/rms_norm.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "kernels/cpu/test_values.h"
#include "kernels/rms_norm/rms_norm_ref.h"

namespace zt::kernels {
namespace {

using test::close;
using test::normal;
using test::tolerance;
using test::Values;
using test::zeros;

struct Case {
  std::int64_t rows, cols;
};
constexpr Case kCases[] = {{1, 1}, {3, 7}, {5, 64}, {33, 129}, {100, 96}, {2, 3001}};
constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16};

reference::RmsNorm reference_of(const Case& c) {
  return {static_cast<std::size_t>(c.rows), static_cast<std::size_t>(c.cols), 1e-6F};
}

TEST(RmsNormTest, ForwardMatchesTheReference) {
  for (const DType dtype : kFloats) {
    for (const Case& c : kCases) {
      Values x(normal(c.rows * c.cols, 1, 3), dtype);
      Values weight(normal(c.cols, 2, 0.3, 1), dtype);
      Values y(zeros(c.rows * c.cols), dtype);
      Values rstd(zeros(c.rows), DType::f32);
      rms_norm_forward({.x = x.view(), .weight = weight.view(), .y = y.view(), .rstd = rstd.view()},
                       {c.rows, c.cols}, {});
      const auto want = reference_of(c);
      EXPECT_TRUE(close(y, want.forward(x.get(), weight.get()), tolerance(dtype, 2, c.cols)))
          << c.rows << "x" << c.cols;
      std::vector<double> scales;
      for (std::int64_t row = 0; row < c.rows; ++row)
        scales.push_back(want.rstd(x.get(), static_cast<std::size_t>(row)));
      EXPECT_TRUE(close(rstd, scales, tolerance(DType::f32, 2, c.cols)));
    }
  }
}

TEST(RmsNormTest, ResidualIsAddedRoundedAndNormalised) {
  for (const DType dtype : kFloats) {
    const Case c{9, 77};
    Values x(normal(c.rows * c.cols, 1), dtype);
    Values residual(normal(c.rows * c.cols, 2), dtype);
    Values weight(normal(c.cols, 3, 0.3, 1), dtype);
    Values y(zeros(c.rows * c.cols), dtype);
    auto added = x.get();
    const auto other = residual.get();
    for (std::size_t i = 0; i < added.size(); ++i) added[i] += other[i];
    const Values sum(added, dtype);  // fp64 sums of two such numbers round as the kernel's
    rms_norm_forward({.x = x.view(),
                      .residual = residual.view(),
                      .sum = residual.view(),
                      .weight = weight.view(),
                      .y = y.view(),
                      .rstd = {}},
                     {c.rows, c.cols}, {});
    EXPECT_EQ(residual.bytes(), sum.bytes()) << "the sum may lie over the residual";
    EXPECT_TRUE(
        close(y, reference_of(c).forward(sum.get(), weight.get()), tolerance(dtype, 2, c.cols)));
  }
}

struct Gradients {
  Values x, weight;
};

Gradients backward(const Case& c, DType dtype, DType grad_dtype, Values& x, Values& weight,
                   Values& grad, View residual) {
  const RmsNormShape shape{c.rows, c.cols};
  Values y(zeros(c.rows * c.cols), dtype);
  Values rstd(zeros(c.rows), DType::f32);
  rms_norm_forward({.x = x.view(), .weight = weight.view(), .y = y.view(), .rstd = rstd.view()},
                   shape, {});
  Gradients result{Values(zeros(c.rows * c.cols), dtype),
                   Values(std::vector<double>(static_cast<std::size_t>(c.cols), 0.5), grad_dtype)};
  Values workspace(zeros(rms_norm_workspace(shape)), DType::f32);
  rms_norm_backward({.x = x.view(),
                     .weight = weight.view(),
                     .rstd = rstd.view(),
                     .grad_y = grad.view(),
                     .grad_residual = residual,
                     .grad_x = result.x.view(),
                     .grad_weight = result.weight.view(),
                     .workspace = workspace.view()},
                    shape, {});
  EXPECT_TRUE(workspace.guards_hold());
  return result;
}

TEST(RmsNormTest, BackwardMatchesTheReferenceAndAddsToTheWeightGradient) {
  for (const DType dtype : kFloats) {
    for (const DType grad_dtype : kFloats) {
      for (const Case& c : kCases) {
        if (c.cols == 1) continue;  // see OneColumnLeavesOnlyRoundings
        Values x(normal(c.rows * c.cols, 1, 2), dtype);
        Values weight(normal(c.cols, 2, 0.3, 1), dtype);
        Values grad(normal(c.rows * c.cols, 3), dtype);
        Values residual(normal(c.rows * c.cols, 4), dtype);
        auto want = reference_of(c).backward(x.get(), weight.get(), grad.get());
        for (double& value : want.weight) value += 0.5;
        const auto plain = backward(c, dtype, grad_dtype, x, weight, grad, {});
        EXPECT_TRUE(
            close(plain.x, want.x, tolerance(dtype, 2, c.cols) + tolerance(DType::f32, 4, c.cols)))
            << c.rows << "x" << c.cols;
        // Every term is rounded: 5 standard deviations of their sum are 2 roundings, relative
        // to the sum's own.
        const double terms = tolerance(dtype, 2, c.rows);
        EXPECT_TRUE(close(plain.weight, want.weight, tolerance(grad_dtype, 1, c.rows) + terms));
        const auto added = residual.get();
        for (std::size_t i = 0; i < added.size(); ++i) want.x[i] += added[i];
        const auto fused = backward(c, dtype, grad_dtype, x, weight, grad, residual.view());
        EXPECT_TRUE(
            close(fused.x, want.x, tolerance(dtype, 3, c.cols) + tolerance(DType::f32, 4, c.cols)))
            << c.rows << "x" << c.cols;
      }
    }
  }
}

// The gradient is what epsilon leaves of rstd (w g - n mean), terms of size rstd |w g| in which six
// roundings meet: w g in the first; w g, n twice, (w g) n and n mean in the second.
TEST(RmsNormTest, OneColumnLeavesOnlyRoundings) {
  for (const DType dtype : kFloats) {
    const Case c{50, 1};
    Values x(normal(c.rows, 1, 2), dtype);
    Values weight({1.25}, dtype);
    Values grad(normal(c.rows, 3), dtype);
    const auto reference = reference_of(c);
    const auto want = reference.backward(x.get(), weight.get(), grad.get());
    const auto got = backward(c, dtype, dtype, x, weight, grad, {}).x.get();
    for (std::size_t row = 0; row < got.size(); ++row) {
      const double terms = std::abs(reference.rstd(x.get(), row) * 1.25 * grad.get()[row]);
      const double smallest = dtype == DType::f16 ? std::ldexp(1.0, -25) : 0;  // half its spacing
      const double limit =
          6 * std::ldexp(terms, -24) + tolerance(dtype, 2, 1) * std::abs(want.x[row]) + smallest;
      EXPECT_NEAR(got[row], want.x[row], limit) << to_string(dtype) << " row " << row;
    }
  }
}

// The residual stream in fp32, the weight and what goes into the layer in 16 bits.
TEST(RmsNormTest, RowsInFp32GoWithWeightsIn16Bits) {
  const Case c{33, 129};
  const RmsNormShape shape{c.rows, c.cols};
  for (const DType dtype : {DType::bf16, DType::f16}) {
    Values x(normal(c.rows * c.cols, 1, 2), DType::f32);
    Values weight(normal(c.cols, 2, 0.3, 1), dtype);
    Values grad(normal(c.rows * c.cols, 3), dtype);
    Values residual(normal(c.rows * c.cols, 4), DType::f32);
    Values y(zeros(c.rows * c.cols), dtype);
    Values rstd(zeros(c.rows), DType::f32);
    const auto reference = reference_of(c);
    rms_norm_forward({.x = x.view(), .weight = weight.view(), .y = y.view(), .rstd = rstd.view()},
                     shape, {});
    EXPECT_TRUE(close(y, reference.forward(x.get(), weight.get()), tolerance(dtype, 2, c.cols)));
    Values grad_x(zeros(c.rows * c.cols), DType::f32), grad_weight(zeros(c.cols), DType::f32);
    Values workspace(zeros(rms_norm_workspace(shape)), DType::f32);
    rms_norm_backward({.x = x.view(),
                       .weight = weight.view(),
                       .rstd = rstd.view(),
                       .grad_y = grad.view(),
                       .grad_residual = residual.view(),
                       .grad_x = grad_x.view(),
                       .grad_weight = grad_weight.view(),
                       .workspace = workspace.view()},
                      shape, {});
    auto want = reference.backward(x.get(), weight.get(), grad.get());
    const auto added = residual.get();
    for (std::size_t i = 0; i < added.size(); ++i) want.x[i] += added[i];
    EXPECT_TRUE(close(grad_x, want.x, tolerance(DType::f32, 8, c.cols)));
    EXPECT_TRUE(close(grad_weight, want.weight, tolerance(dtype, 2, c.rows)));
  }
}

TEST(RmsNormTest, BitsDoNotDependOnTheNumberOfThreads) {
  const Case c{211, 160};
  Values x(normal(c.rows * c.cols, 1), DType::f32);
  Values weight(normal(c.cols, 2, 0.3, 1), DType::f32);
  Values grad(normal(c.rows * c.cols, 3), DType::f32);
  omp_set_num_threads(1);
  const auto one = backward(c, DType::f32, DType::f32, x, weight, grad, {});
  omp_set_num_threads(3);
  const auto three = backward(c, DType::f32, DType::f32, x, weight, grad, {});
  omp_set_num_threads(1);
  EXPECT_EQ(one.x.bytes(), three.x.bytes());
  EXPECT_EQ(one.weight.bytes(), three.weight.bytes());
}

}  // namespace
}  // namespace zt::kernels
