#include "kernels/causal_conv1d/causal_conv1d_impl.h"

namespace zt::kernels {

void causal_conv1d_forward_cuda(const ConvForward& /*io*/, const ConvShape& /*shape*/,
                                void* /*stream*/) {
  throw DeviceError("[kernels.causal_conv1d] this build has no CUDA.");
}
void causal_conv1d_backward_cuda(const ConvBackward& /*io*/, const ConvShape& /*shape*/,
                                 void* /*stream*/) {
  throw DeviceError("[kernels.causal_conv1d] this build has no CUDA.");
}

}  // namespace zt::kernels
