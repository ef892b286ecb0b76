#include "kernels/ordered_sum/ordered_sum.h"

#include "kernels/ordered_sum/ordered_sum_impl.h"

namespace zt::kernels {
namespace {

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

}  // namespace

void ordered_sum(const View& parts, int world, const View& out, bool accumulate,
                 const Launch& launch) {
  ZT_ASSERT(world >= 1, "ordered_sum needs at least one rank");
  ZT_ASSERT(is_float(parts.dtype) && is_float(out.dtype), "ordered_sum takes fp32, bf16 or fp16");
  ZT_ASSERT(parts.numel == out.numel * world, "ordered_sum parts are [world x n], out is [n]");
  if (out.numel == 0) {
    return;
  }
  switch (launch.device) {
    case Device::cpu:
      return ordered_sum_cpu(parts, world, out, accumulate);
    case Device::cuda:
      return ordered_sum_cuda(parts, world, out, accumulate, launch.stream);
  }
}

}  // namespace zt::kernels
