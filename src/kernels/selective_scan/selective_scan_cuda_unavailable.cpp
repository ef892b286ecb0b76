#include "kernels/selective_scan/selective_scan_impl.h"

namespace zt::kernels {

void selective_scan_forward_cuda(const ScanForward& /*io*/, const ScanShape& /*shape*/,
                                 void* /*stream*/) {
  throw DeviceError("[kernels.selective_scan] this build has no CUDA.");
}
void selective_scan_backward_cuda(const ScanBackward& /*io*/, const ScanShape& /*shape*/,
                                  void* /*stream*/) {
  throw DeviceError("[kernels.selective_scan] this build has no CUDA.");
}

}  // namespace zt::kernels
