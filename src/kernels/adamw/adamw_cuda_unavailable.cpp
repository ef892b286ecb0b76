#include "kernels/adamw/adamw_impl.h"

namespace zt::kernels {

void adamw_cuda(const AdamWSpans&, const AdamWScalars&, const void*, const View&, void*) {
  throw DeviceError(
      "[kernels.adamw] this build has no CUDA kernels: got a CUDA buffer, expected a CPU one. "
      "Build with -DZT_WITH_CUDA=ON.");
}

}  // namespace zt::kernels
