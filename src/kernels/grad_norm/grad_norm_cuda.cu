#include "kernels/cuda_common.cuh"
#include "kernels/grad_norm/grad_norm_impl.h"

namespace zt::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kOwned = static_cast<int>(kNormLanes) / kWarp;  ///< lanes of a chunk per thread
static_assert(kOwned == 8 && kNormChunk % kNormLanes == 0);

/// One warp per chunk: thread t stands for the documented lanes 8t .. 8t + 7, so the strides 128 to
/// 8 are exchanges between threads (16 to 1 apart) and the strides 4, 2, 1 stay in one thread.
__device__ __forceinline__ float chunk_tree(float (&lane)[kOwned]) {
#pragma unroll
  for (int apart = kWarp / 2; apart >= 1; apart /= 2) {
#pragma unroll
    for (int j = 0; j < kOwned; ++j) {
      lane[j] = __fadd_rn(lane[j], __shfl_down_sync(0xffffffffU, lane[j], apart));
    }
  }
#pragma unroll
  for (int stride = kOwned / 2; stride >= 1; stride /= 2) {
#pragma unroll
    for (int j = 0; j < stride; ++j) {
      lane[j] = __fadd_rn(lane[j], lane[j + stride]);
    }
  }
  return lane[0];  // meaningful in thread 0
}

template <typename Grad>
__device__ __forceinline__ void load_owned(const Grad* grad, std::int64_t first, std::int64_t numel,
                                           bool packed, float (&value)[kOwned]) {
  if (packed && first + kOwned <= numel) {
    constexpr int kCount = kPack<Grad> < kOwned ? kPack<Grad> : kOwned;
#pragma unroll
    for (int part = 0; part < kOwned / kCount; ++part) {
      const auto pack = load_pack<Grad, kCount>(grad + first + part * kCount);
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        value[part * kCount + j] = to_float(pack.at[j]);
      }
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < kOwned; ++j) {
    value[j] = first + j < numel ? to_float(grad[first + j]) : 0.0F;
  }
}

template <typename Grad>
__global__ void chunk_sums_kernel(const Grad* grad, std::int64_t numel, bool packed, float* sums) {
  const int thread = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * (kThreads / kWarp);
  const std::int64_t chunks = (numel + kNormChunk - 1) / kNormChunk;
  for (std::int64_t chunk =
           static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
       chunk < chunks; chunk += warps) {
    float lane[kOwned] = {};
#pragma unroll
    for (int turn = 0; turn < kNormChunk / kNormLanes; ++turn) {
      float value[kOwned];
      load_owned(grad, chunk * kNormChunk + turn * kNormLanes + thread * kOwned, numel, packed,
                 value);
#pragma unroll
      for (int j = 0; j < kOwned; ++j) {
        lane[j] = __fmaf_rn(value[j], value[j], lane[j]);
      }
    }
    const float sum = chunk_tree(lane);
    if (thread == 0) {
      sums[chunk] = sum;
    }
  }
}

/// One block of 256 lanes: lane i adds chunks i, i + 256, ... in fp64, then the pairwise tree.
__global__ void add_chunks_kernel(const float* sums, std::int64_t chunks, double* out) {
  __shared__ double lanes[kNormLanes];
  const int lane = static_cast<int>(threadIdx.x);
  double sum = 0;
  std::int64_t chunk = lane;
  constexpr int kAhead = 8;  // loads in flight; the additions keep their order
  for (; chunk + (kAhead - 1) * kNormLanes < chunks; chunk += kAhead * kNormLanes) {
    float value[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      value[j] = sums[chunk + j * kNormLanes];
    }
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      sum = __dadd_rn(sum, static_cast<double>(value[j]));
    }
  }
  for (; chunk < chunks; chunk += kNormLanes) {
    sum = __dadd_rn(sum, static_cast<double>(sums[chunk]));
  }
  lanes[lane] = sum;
  for (int stride = static_cast<int>(kNormLanes) / 2; stride >= 1; stride /= 2) {
    __syncthreads();
    if (lane < stride) {
      lanes[lane] = __dadd_rn(lanes[lane], lanes[lane + stride]);
    }
  }
  if (lane == 0) {
    *out = lanes[0];
  }
}

/// One block: stages the partials, one thread adds them in index order.
__global__ void clip_factor_kernel(const double* partials, std::int64_t count, double max_norm,
                                   const double* inverse_scale, double* result,
                                   float* grad_factor) {
  __shared__ double staged[kThreads];
  double sum = 0;
  for (std::int64_t first = 0; first < count; first += kThreads) {
    const std::int64_t i = first + threadIdx.x;
    __syncthreads();
    staged[threadIdx.x] = i < count ? partials[i] : 0.0;
    __syncthreads();
    if (threadIdx.x == 0) {
      const std::int64_t left = count - first;
      for (int j = 0; j < kThreads && j < left; ++j) {
        sum = __dadd_rn(sum, staged[j]);
      }
    }
  }
  if (threadIdx.x != 0) {
    return;
  }
  const double unscale = *inverse_scale;
  const double norm = __dmul_rn(__dsqrt_rn(sum), unscale);
  double factor = unscale;
  if (max_norm > 0) {
    const double limit = __ddiv_rn(max_norm, __dadd_rn(norm, 1e-6));
    factor = __dmul_rn(unscale, limit < 1.0 ? limit : 1.0);
  }
  if (!isfinite(norm)) {
    factor = __longlong_as_double(0x7ff8000000000000LL);
  }
  result[0] = norm;
  result[1] = factor;
  // The host's NaN: converting one on the device would give other bits.
  *grad_factor = isfinite(norm) ? __double2float_rn(factor) : __int_as_float(0x7fc00000);
}

}  // namespace

void sum_of_squares_cuda(const View& grad, const View& out, std::int64_t index,
                         const View& workspace, void* stream) {
  const std::int64_t chunks = ceil_div(grad.numel, kNormChunk);
  auto* sums = workspace.as<float>();
  if (chunks > 0) {
    dispatch_float(grad.dtype, "sum_of_squares", [&](auto tag) {
      using Grad = typename decltype(tag)::Type;
      launch_kernel("sum_of_squares", chunk_sums_kernel<Grad>,
                    dim3(grid_for(chunks, kThreads / kWarp)), dim3(kThreads), 0, stream,
                    grad.as<Grad>(), grad.numel, aligned16(grad.data), sums);
    });
  }
  launch_kernel("sum_of_squares", add_chunks_kernel, dim3(1),
                dim3(static_cast<unsigned>(kNormLanes)), 0, stream, sums, chunks,
                out.as<double>() + index);
}

void clip_factor_cuda(const View& partials, double max_norm, const View& inverse_scale,
                      const View& result, const View& grad_factor, void* stream) {
  launch_kernel("clip_factor", clip_factor_kernel, dim3(1), dim3(kThreads), 0, stream,
                partials.as<double>(), partials.numel, max_norm, inverse_scale.as<double>(),
                result.as<double>(), grad_factor.as<float>());
}

}  // namespace zt::kernels
