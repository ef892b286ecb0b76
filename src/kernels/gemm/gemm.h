#pragma once

#include <ATen/core/Tensor.h>

#include "memory/view.h"

namespace zt::kernels {

/// y = x W^T. Shapes: x [n, in], weight [out, in], y [n, out]; one dtype.
void linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y);

/// y = residual + x W^T, rounded once. Shapes: residual and y [n, out], of one dtype: that of x, or
/// fp32 beside 16-bit x and W.
void linear_forward_residual(const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& residual, const at::Tensor& y);

/// grad_x = grad_y W (or += with accumulate). Shapes: grad_y [n, out], grad_x [n, in].
void linear_backward_input(const at::Tensor& grad_y, const at::Tensor& weight,
                           const at::Tensor& grad_x, bool accumulate);

/// grad_weight += grad_y^T x, in grad_weight's dtype: fp32 accumulation into an fp32 gradient from
/// 16-bit operands where the library has such a GEMM, widened operands otherwise. Shapes:
/// grad_weight [out, in].
void linear_backward_weight(const at::Tensor& grad_y, const at::Tensor& x,
                            const at::Tensor& grad_weight);

}  // namespace zt::kernels
