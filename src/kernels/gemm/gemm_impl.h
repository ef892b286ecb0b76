#pragma once

#include "kernels/gemm/gemm.h"

namespace zt::kernels {

void linear_forward_cuda(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y);
void linear_forward_residual_cuda(const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& residual, const at::Tensor& y);
void linear_backward_input_cuda(const at::Tensor& grad_y, const at::Tensor& weight,
                                const at::Tensor& grad_x, bool accumulate);
void linear_backward_weight_cuda(const at::Tensor& grad_y, const at::Tensor& x,
                                 const at::Tensor& grad_weight);
void linear_forward_cpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y);
void linear_forward_residual_cpu(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& residual, const at::Tensor& y);
void linear_backward_input_cpu(const at::Tensor& grad_y, const at::Tensor& weight,
                               const at::Tensor& grad_x, bool accumulate);
void linear_backward_weight_cpu(const at::Tensor& grad_y, const at::Tensor& x,
                                const at::Tensor& grad_weight);

}  // namespace zt::kernels
