#include "kernels/gemm/gemm.h"

#include "kernels/gemm/gemm_impl.h"

namespace zt::kernels {

void linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y) {
  ZT_ASSERT(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(1) &&
                y.size(0) == x.size(0) && y.size(1) == weight.size(0),
            "linear shapes");
  return x.is_cuda() ? linear_forward_cuda(x, weight, y) : linear_forward_cpu(x, weight, y);
}

void linear_forward_residual(const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& residual, const at::Tensor& y) {
  ZT_ASSERT(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(1) &&
                y.size(0) == x.size(0) && y.size(1) == weight.size(0) &&
                residual.sizes() == y.sizes(),
            "linear shapes");
  return x.is_cuda() ? linear_forward_residual_cuda(x, weight, residual, y)
                     : linear_forward_residual_cpu(x, weight, residual, y);
}

void linear_backward_input(const at::Tensor& grad_y, const at::Tensor& weight,
                           const at::Tensor& grad_x, bool accumulate) {
  ZT_ASSERT(grad_y.size(1) == weight.size(0) && grad_x.size(1) == weight.size(1) &&
                grad_x.size(0) == grad_y.size(0),
            "input gradient shapes");
  return grad_y.is_cuda() ? linear_backward_input_cuda(grad_y, weight, grad_x, accumulate)
                          : linear_backward_input_cpu(grad_y, weight, grad_x, accumulate);
}

void linear_backward_weight(const at::Tensor& grad_y, const at::Tensor& x,
                            const at::Tensor& grad_weight) {
  ZT_ASSERT(grad_y.size(0) == x.size(0) && grad_weight.size(0) == grad_y.size(1) &&
                grad_weight.size(1) == x.size(1),
            "weight gradient shapes");
  return x.is_cuda() ? linear_backward_weight_cuda(grad_y, x, grad_weight)
                     : linear_backward_weight_cpu(grad_y, x, grad_weight);
}

}  // namespace zt::kernels
