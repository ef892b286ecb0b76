#include "kernels/grad_norm/grad_norm_impl.h"

namespace zt::kernels {

void sum_of_squares_cuda(const View&, const View&, std::int64_t, const View&, void*) {
  throw DeviceError(
      "[kernels.sum_of_squares] this build has no CUDA kernels: got a CUDA buffer, expected a CPU "
      "one. "
      "Build with -DZT_WITH_CUDA=ON.");
}

void clip_factor_cuda(const View&, double, const View&, const View&, const View&, void*) {
  throw DeviceError(
      "[kernels.clip_factor] this build has no CUDA kernels: got a CUDA buffer, expected a CPU "
      "one. "
      "Build with -DZT_WITH_CUDA=ON.");
}

}  // namespace zt::kernels
