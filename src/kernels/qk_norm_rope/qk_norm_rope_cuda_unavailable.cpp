#include "kernels/qk_norm_rope/qk_norm_rope_impl.h"

namespace zt::kernels {

void qk_norm_rope_forward_cuda(const QkNormRopeForward& /*io*/, const QkNormRopeShape& /*shape*/,
                               void* /*stream*/) {
  throw DeviceError("[kernels.qk_norm_rope] this build has no CUDA.");
}
void qk_norm_rope_backward_cuda(const QkNormRopeBackward& /*io*/, const QkNormRopeShape& /*shape*/,
                                void* /*stream*/) {
  throw DeviceError("[kernels.qk_norm_rope] this build has no CUDA.");
}

}  // namespace zt::kernels
