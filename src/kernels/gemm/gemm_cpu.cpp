#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include "kernels/gemm/gemm_impl.h"

namespace zt::kernels {
namespace {

/// Few CPUs multiply fp16: ATen then takes a slow loop, and fp32 GEMM with widened operands is
/// several times faster. fp32 and bf16 have GEMMs of their own.
at::Tensor operand(const at::Tensor& x) {
  return x.scalar_type() == at::kHalf ? x.to(at::kFloat) : x;
}

/// to = a b, or start + a b when `start` is defined; rounded once.
void multiply(const at::Tensor& a, const at::Tensor& b, const at::Tensor& start,
              const at::Tensor& to) {
  const at::AutoDispatchBelowAutograd below_autograd;
  at::Tensor out = to;
  if (a.scalar_type() != to.scalar_type()) {  // a wider sum: so are the operands
    const auto product = at::mm(a.to(to.scalar_type()), b.to(to.scalar_type()));
    out.copy_(start.defined() ? product.add_(start) : product);
  } else if (a.scalar_type() == at::kHalf) {
    const auto product = at::mm(operand(a), operand(b));
    out.copy_(start.defined() ? product.add_(start) : product);
  } else if (start.defined()) {
    at::addmm_out(out, start, a, b);
  } else {
    at::mm_out(out, a, b);
  }
}

}  // namespace

void linear_forward_cpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y) {
  multiply(x, weight.t(), {}, y);
}

void linear_forward_residual_cpu(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& residual, const at::Tensor& y) {
  multiply(x, weight.t(), residual, y);
}

void linear_backward_input_cpu(const at::Tensor& grad_y, const at::Tensor& weight,
                               const at::Tensor& grad_x, bool accumulate) {
  multiply(grad_y, weight, accumulate ? grad_x : at::Tensor(), grad_x);
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
