#include "kernels/swiglu/swiglu_impl.h"

namespace zt::kernels {

void swiglu_forward_cuda(const View& /*gate_up*/, const View& /*y*/, std::int64_t /*rows*/,
                         std::int64_t /*ffn*/, void* /*stream*/) {
  throw DeviceError("[kernels.swiglu] this build has no CUDA.");
}
void swiglu_backward_cuda(const View& /*gate_up*/, const View& /*grad_y*/,
                          const View& /*grad_gate_up*/, std::int64_t /*rows*/, std::int64_t /*ffn*/,
                          void* /*stream*/) {
  throw DeviceError("[kernels.swiglu] this build has no CUDA.");
}

}  // namespace zt::kernels
