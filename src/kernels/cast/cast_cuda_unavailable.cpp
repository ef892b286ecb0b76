#include "kernels/cast/cast_impl.h"

namespace zt::kernels {

void cast_strided_cuda(const View&, const StridedRows&, const View&, void*) {
  throw DeviceError(
      "[kernels.cast_strided] this build has no CUDA kernels: got a CUDA buffer, expected a CPU "
      "one. "
      "Build with -DZT_WITH_CUDA=ON.");
}

void fill_zero_cuda(const View&, void*) {
  throw DeviceError(
      "[kernels.fill_zero] this build has no CUDA kernels: got a CUDA buffer, expected a CPU one. "
      "Build with -DZT_WITH_CUDA=ON.");
}

}  // namespace zt::kernels
