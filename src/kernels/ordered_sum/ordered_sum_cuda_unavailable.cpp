#include "kernels/ordered_sum/ordered_sum_impl.h"

namespace zt::kernels {

void ordered_sum_cuda(const View&, int, const View&, bool, void*) {
  throw DeviceError(
      "[kernels.ordered_sum] this build has no CUDA kernels: got a CUDA buffer, expected a CPU "
      "one. "
      "Build with -DZT_WITH_CUDA=ON.");
}

}  // namespace zt::kernels
