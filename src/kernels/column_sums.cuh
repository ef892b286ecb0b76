#pragma once

#include "kernels/cuda_common.cuh"

namespace zt::kernels {

inline constexpr int kSumLanes = 32;

/// total[c] += sum over r of partials[r * stride + c]: lane y of 32 adds rows y, y + 32, ... in
/// order, then lanes 0 to 31 are added in order; the sum is formed first and rounded once into
/// `total`; columns from `split` on belong to `second`. Grid: one block of 32 x 32 threads per 32
/// columns.
template <typename T>
__global__ void column_sums_kernel(const float* partials, std::int64_t rows, std::int64_t stride,
                                   std::int64_t cols, T* total, T* second, std::int64_t split) {
  __shared__ float sums[kSumLanes][kWarp + 1];
  const std::int64_t col = static_cast<std::int64_t>(blockIdx.x) * kWarp + threadIdx.x;
  float sum = 0.0F;
  if (col < cols) {
#pragma unroll 8
    for (std::int64_t row = threadIdx.y; row < rows; row += kSumLanes) {
      sum += partials[row * stride + col];
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && col < cols) {
    float all = 0.0F;
#pragma unroll
    for (int lane = 0; lane < kSumLanes; ++lane) {
      all += sums[lane][threadIdx.x];
    }
    T* target = col < split ? total + col : second + (col - split);
    *target = from_float<T>(to_float(*target) + all);
  }
}

/// Adds the column sums of `partials` [rows x cols] to `total` [split] and `second` [cols - split]
/// (fp32, bf16 or fp16, both alike).
inline void add_column_sums(const char* kernel, const float* partials, std::int64_t rows,
                            std::int64_t cols, const View& total, const View& second,
                            void* stream) {
  dispatch_float(total.dtype, kernel, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    launch_kernel(kernel, column_sums_kernel<T>, dim3(static_cast<unsigned>(ceil_div(cols, kWarp))),
                  dim3(kWarp, kSumLanes), 0, stream, partials, rows, cols, cols, total.as<T>(),
                  second.as<T>(), total.numel);
  });
}

}  // namespace zt::kernels
