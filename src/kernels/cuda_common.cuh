#pragma once

// Device-side tools shared by the *_cuda.cu files: element conversion, 16-byte vectors, reductions
// in a fixed order, and a launch that is always checked.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <string>

#include "base/error.h"
#include "memory/view.h"

namespace zt::kernels {

using Bf16 = __nv_bfloat16;
using F16 = __half;

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(Bf16 value) { return __bfloat162float(value); }
__device__ __forceinline__ float to_float(F16 value) { return __half2float(value); }

/// Rounds to nearest even; NaN becomes 0x7fff in 16 bits.
template <typename T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ Bf16 from_float<Bf16>(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ __forceinline__ F16 from_float<F16>(float value) {
  return __float2half_rn(value);
}

/// The value after a round trip through T.
template <typename T>
__device__ __forceinline__ float round_through(float value) {
  return to_float(from_float<T>(value));
}

/// kCount neighbouring elements, moved by one instruction when they fill 2, 4, 8 or 16 bytes.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T at[kCount];
};
template <typename T, int kCount>
__device__ __forceinline__ Pack<T, kCount> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, kCount>*>(from);
}
template <typename T, int kCount>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, kCount>& pack) {
  *reinterpret_cast<Pack<T, kCount>*>(to) = pack;
}

/// Elements of T in 16 bytes.
template <typename T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

inline constexpr int kWarp = 32;

/// Sum over the `kLanes` neighbouring lanes of a warp that a lane belongs to, in butterfly order:
/// every lane gets the same bits.
template <int kLanes = kWarp>
__device__ __forceinline__ float lane_sum(float value) {
#pragma unroll
  for (int stride = kLanes / 2; stride >= 1; stride /= 2) {
    value += __shfl_xor_sync(0xffffffffU, value, stride);
  }
  return value;
}

/// Sum over the block, the same bits in every thread: lanes, then warps in index order. `scratch`
/// holds 32 floats in shared memory; it may be used again at once (two barriers).
__device__ __forceinline__ float block_sum(float value, float* scratch) {
  value = lane_sum(value);
  const int warps = (static_cast<int>(blockDim.x) + kWarp - 1) / kWarp;
  if (warps == 1) {
    return value;
  }
  if (threadIdx.x % kWarp == 0) {
    scratch[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float total = lane_sum(lane < warps ? scratch[lane] : 0.0F);
  __syncthreads();
  return total;
}

/// True when every non-null address is a multiple of 16.
template <typename... Pointers>
bool aligned16(const Pointers*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Blocks for a grid-stride loop over `items`, at most `limit`.
inline unsigned grid_for(std::int64_t items, int threads, std::int64_t limit = 1 << 16) {
  const std::int64_t blocks = ceil_div(items, threads);
  return static_cast<unsigned>(blocks < 1 ? 1 : (blocks > limit ? limit : blocks));
}

/// Throws DeviceError with the kernel's name when `status` is an error.
inline void check_cuda(cudaError_t status, const char* kernel) {
  if (status != cudaSuccess) {
    throw DeviceError(
        std::string("[kernels.") + kernel + "] the device refused the launch: got " +
        cudaGetErrorString(status) +
        ", expected success. Run with CUDA_LAUNCH_BLOCKING=1 to find the first fault.");
  }
}

/// Queues `kernel` on `stream` and checks the launch. No host synchronisation.
template <typename... Parameters, typename... Arguments>
void launch_kernel(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   std::size_t shared_bytes, void* stream, Arguments... arguments) {
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(
      static_cast<Parameters>(arguments)...);
  check_cuda(cudaGetLastError(), name);
}

/// Names a type in a generic lambda's argument.
template <typename T>
struct TypeTag {
  using Type = T;
};

/// Calls `body` with the TypeTag of fp32, bf16 or fp16.
template <typename Body>
void dispatch_float(DType dtype, const char* kernel, Body body) {
  switch (dtype) {
    case DType::f32:
      return body(TypeTag<float>{});
    case DType::bf16:
      return body(TypeTag<Bf16>{});
    case DType::f16:
      return body(TypeTag<F16>{});
    default:
      throw DeviceError(std::string("[kernels.") + kernel + "] element type: got " +
                        to_string(dtype) + ", expected fp32, bf16 or fp16.");
  }
}

}  // namespace zt::kernels
