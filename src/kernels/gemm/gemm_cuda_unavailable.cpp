#include "kernels/gemm/gemm_impl.h"

namespace zt::kernels {

void linear_forward_cuda(const at::Tensor& /*x*/, const at::Tensor& /*weight*/,
                         const at::Tensor& /*y*/) {
  throw DeviceError("[kernels.gemm] this build has no CUDA.");
}
void linear_forward_residual_cuda(const at::Tensor& /*x*/, const at::Tensor& /*weight*/,
                                  const at::Tensor& /*residual*/, const at::Tensor& /*y*/) {
  throw DeviceError("[kernels.gemm] this build has no CUDA.");
}
void linear_backward_input_cuda(const at::Tensor& /*grad_y*/, const at::Tensor& /*weight*/,
                                const at::Tensor& /*grad_x*/, bool /*accumulate*/) {
  throw DeviceError("[kernels.gemm] this build has no CUDA.");
}
void linear_backward_weight_cuda(const at::Tensor& /*grad_y*/, const at::Tensor& /*x*/,
                                 const at::Tensor& /*grad_weight*/) {
  throw DeviceError("[kernels.gemm] this build has no CUDA.");
}

}  // namespace zt::kernels
