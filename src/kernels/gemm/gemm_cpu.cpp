#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include "kernels/gemm/gemm_impl.h"

namespace zt::kernels {

void linear_forward_cpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y) {
  const at::AutoDispatchBelowAutograd below_autograd;
  at::Tensor out = y;
  at::mm_out(out, x, weight.t());
}

void linear_backward_input_cpu(const at::Tensor& grad_y, const at::Tensor& weight,
                               const at::Tensor& grad_x, bool accumulate) {
  const at::AutoDispatchBelowAutograd below_autograd;
  at::Tensor out = grad_x;
  if (accumulate) {
    at::addmm_out(out, grad_x, grad_y, weight);
  } else {
    at::mm_out(out, grad_y, weight);
  }
}

void linear_backward_weight_cpu(const at::Tensor& grad_y, const at::Tensor& x,
                                const at::Tensor& grad_weight) {
  const at::AutoDispatchBelowAutograd below_autograd;
  at::Tensor out = grad_weight;
  if (x.scalar_type() == at::kFloat) {
    at::addmm_out(out, grad_weight, grad_y.t(), x);
    return;
  }
  // ATen has no CPU GEMM with an fp32 result from 16-bit operands: widen them.
  const auto product = at::mm(grad_y.to(at::kFloat).t(), x.to(at::kFloat));
  if (grad_weight.scalar_type() == at::kFloat) {
    out.add_(product);
  } else {
    out.copy_(grad_weight.to(at::kFloat).add_(product));
  }
}

}  // namespace zt::kernels
