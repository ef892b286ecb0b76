#include "kernels/gemm/gemm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include "kernels/cpu/test_tensors.h"
#include "memory/torch_dtype.h"

namespace zt::kernels {
namespace {

using memory::dtype_of;
using test::doubles;
using test::normal;
using test::tensor_of;
using test::tolerance;

/// start + sum over k of a[i, k] b[k, j], with a and b given by strides.
struct Product {
  std::int64_t n, k, m, a_row, a_col, b_row, b_col;
  [[nodiscard]] std::vector<double> of(const at::Tensor& a, const at::Tensor& b,
                                       std::vector<double> start) const {
    const auto x = doubles(a);
    const auto y = doubles(b);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < m; ++j) {
        for (std::int64_t l = 0; l < k; ++l) {
          start[static_cast<std::size_t>(i * m + j)] +=
              x[static_cast<std::size_t>(i * a_row + l * a_col)] *
              y[static_cast<std::size_t>(l * b_row + j * b_col)];
        }
      }
    }
    return start;
  }
};

void expect_close(const at::Tensor& got, const std::vector<double>& want, double limit) {
  EXPECT_TRUE(test::close(test::Values(doubles(got), dtype_of(got.scalar_type())), want, limit));
}

struct Case {
  std::int64_t rows, in, out;
};
constexpr Case kCases[] = {{1, 1, 1}, {3, 7, 5}, {33, 65, 17}};

TEST(GemmTest, ASumInFp32TakesOperandsOf16Bits) {
  const std::int64_t rows = 7, in = 33, out = 21;
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    const auto x = tensor_of(normal(rows * in, 1), {rows, in}, dtype);
    const auto weight = tensor_of(normal(out * in, 2), {out, in}, dtype);
    const auto residual = tensor_of(normal(rows * out, 3), {rows, out}, at::kFloat);
    const auto y = at::empty({rows, out}, at::kFloat);
    linear_forward_residual(x, weight, residual, y);
    expect_close(y, Product{rows, in, out, in, 1, 1, in}.of(x, weight, doubles(residual)),
                 tolerance(DType::f32, 1, 32 * in));
  }
}

TEST(GemmTest, ForwardAndBothBackwardsMatchTheReference) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const auto grad_dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      if (grad_dtype != at::kFloat && grad_dtype != dtype) continue;
      for (const auto& c : kCases) {
        const auto x = tensor_of(normal(c.rows * c.in, 1), {c.rows, c.in}, dtype);
        const auto weight = tensor_of(normal(c.out * c.in, 2), {c.out, c.in}, dtype);
        const auto grad_y = tensor_of(normal(c.rows * c.out, 3), {c.rows, c.out}, dtype);
        const auto kind = dtype_of(dtype);
        auto y = at::empty({c.rows, c.out}, x.options());
        linear_forward(x, weight, y);
        expect_close(y,
                     Product{c.rows, c.in, c.out, c.in, 1, 1, c.in}.of(x, weight,
                                                                       test::zeros(c.rows * c.out)),
                     tolerance(kind, 1, 32 * c.in));
        const auto residual = tensor_of(normal(c.rows * c.out, 5), {c.rows, c.out}, dtype);
        linear_forward_residual(x, weight, residual, y);
        expect_close(
            y, Product{c.rows, c.in, c.out, c.in, 1, 1, c.in}.of(x, weight, doubles(residual)),
            tolerance(kind, 1, 32 * c.in));
        const Product input{c.rows, c.out, c.in, c.out, 1, c.in, 1};
        auto grad_x = at::empty({c.rows, c.in}, x.options());
        linear_backward_input(grad_y, weight, grad_x, false);
        expect_close(grad_x, input.of(grad_y, weight, test::zeros(c.rows * c.in)),
                     tolerance(kind, 1, 32 * c.out));
        const auto before = doubles(grad_x);
        linear_backward_input(grad_y, weight, grad_x, true);
        expect_close(grad_x, input.of(grad_y, weight, before), tolerance(kind, 2, 32 * c.out));
        const auto start = tensor_of(normal(c.out * c.in, 4), {c.out, c.in}, grad_dtype);
        const auto grad_weight = start.clone();
        linear_backward_weight(grad_y, x, grad_weight);
        const auto grad_kind = dtype_of(grad_dtype);
        // Into an fp32 gradient nothing is rounded to 16 bits.
        expect_close(grad_weight,
                     Product{c.out, c.rows, c.in, 1, c.out, c.in, 1}.of(grad_y, x, doubles(start)),
                     tolerance(grad_kind, 1, 32 * c.rows));
      }
    }
  }
}

}  // namespace
}  // namespace zt::kernels
