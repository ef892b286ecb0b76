#include "kernels/cuda_common.cuh"
#include "kernels/ordered_sum/ordered_sum_impl.h"

namespace zt::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kCount = 4;

template <typename Wire, typename Out, int kElements>
__device__ __forceinline__ void sum_at(const Wire* parts, int world, std::int64_t numel, Out* out,
                                       bool accumulate, std::int64_t i) {
  float sum[kElements];
  const auto first = load_pack<Wire, kElements>(parts + i);
#pragma unroll
  for (int j = 0; j < kElements; ++j) {
    sum[j] = to_float(first.at[j]);
  }
  for (int rank = 1; rank < world; ++rank) {
    const auto part = load_pack<Wire, kElements>(parts + rank * numel + i);
#pragma unroll
    for (int j = 0; j < kElements; ++j) {
      sum[j] = __fadd_rn(sum[j], to_float(part.at[j]));
    }
  }
  Pack<Out, kElements> result;
  if (accumulate) {
    const auto old = load_pack<Out, kElements>(out + i);
#pragma unroll
    for (int j = 0; j < kElements; ++j) {
      sum[j] = __fadd_rn(to_float(old.at[j]), sum[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < kElements; ++j) {
    result.at[j] = from_float<Out>(sum[j]);
  }
  store_pack(out + i, result);
}

template <typename Wire, typename Out, int kElements>
__global__ void ordered_sum_kernel(const Wire* parts, int world, std::int64_t numel, Out* out,
                                   bool accumulate) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x * kElements;
  std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kElements;
  for (; i + kElements <= numel; i += step) {
    sum_at<Wire, Out, kElements>(parts, world, numel, out, accumulate, i);
  }
  for (; i < numel; ++i) {
    sum_at<Wire, Out, 1>(parts, world, numel, out, accumulate, i);
  }
}

}  // namespace

void ordered_sum_cuda(const View& parts, int world, const View& out, bool accumulate,
                      void* stream) {
  const std::int64_t numel = out.numel;
  dispatch_float(parts.dtype, "ordered_sum", [&](auto wire_tag) {
    dispatch_float(out.dtype, "ordered_sum", [&](auto out_tag) {
      using Wire = typename decltype(wire_tag)::Type;
      using Out = typename decltype(out_tag)::Type;
      const bool packed = aligned16(parts.data, out.data) && (world == 1 || numel % kCount == 0);
      launch_kernel(
          "ordered_sum",
          packed ? ordered_sum_kernel<Wire, Out, kCount> : ordered_sum_kernel<Wire, Out, 1>,
          dim3(grid_for(ceil_div(numel, packed ? kCount : 1), kThreads)), dim3(kThreads), 0, stream,
          parts.as<Wire>(), world, numel, out.as<Out>(), accumulate);
    });
  });
}

}  // namespace zt::kernels
