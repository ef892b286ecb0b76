#include "kernels/cuda_common.cuh"
#include "kernels/swiglu/swiglu_impl.h"

namespace zt::kernels {
namespace {

constexpr int kThreads = 256;

/// Logistic function; the fast forms are used where the result is rounded to 16 bits anyway.
template <typename T>
__device__ __forceinline__ float sigmoid(float x) {
  if constexpr (sizeof(T) == 2) {
    return __fdividef(1.0F, 1.0F + __expf(-x));
  } else {
    return 1.0F / (1.0F + expf(-x));
  }
}

/// Grid: x over the packs of a row, y strides over the rows.
template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(const T* gate_up, T* y, std::int64_t rows, std::int64_t ffn) {
  const std::int64_t col =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kCount;
  if (col >= ffn) {
    return;
  }
  for (std::int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const T* source = gate_up + row * 2 * ffn + col;
    const auto gate = load_pack<T, kCount>(source);
    const auto up = load_pack<T, kCount>(source + ffn);
    Pack<T, kCount> out;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const float g = to_float(gate.at[j]);
      out.at[j] = from_float<T>(round_through<T>(g * sigmoid<T>(g)) * to_float(up.at[j]));
    }
    store_pack(y + row * ffn + col, out);
  }
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const T* gate_up, const T* grad_y, T* grad_gate_up, std::int64_t rows,
                    std::int64_t ffn) {
  const std::int64_t col =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kCount;
  if (col >= ffn) {
    return;
  }
  for (std::int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const std::int64_t at = row * 2 * ffn + col;
    const auto gate = load_pack<T, kCount>(gate_up + at);
    const auto up = load_pack<T, kCount>(gate_up + at + ffn);
    const auto grad = load_pack<T, kCount>(grad_y + row * ffn + col);
    Pack<T, kCount> grad_gate;
    Pack<T, kCount> grad_up;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const float g = to_float(gate.at[j]);
      const float s = sigmoid<T>(g);
      const float silu = round_through<T>(g * s);
      const float d = to_float(grad.at[j]);
      grad_up.at[j] = from_float<T>(d * silu);
      const float grad_silu = round_through<T>(d * to_float(up.at[j]));
      grad_gate.at[j] = from_float<T>(grad_silu * (s * (1.0F + g * (1.0F - s))));
    }
    store_pack(grad_gate_up + at, grad_gate);
    store_pack(grad_gate_up + at + ffn, grad_up);
  }
}

dim3 grid_of(std::int64_t rows, std::int64_t ffn, int count) {
  return {static_cast<unsigned>(ceil_div(ceil_div(ffn, count), kThreads)),
          static_cast<unsigned>(rows < 65535 ? rows : 65535)};
}

}  // namespace

void swiglu_forward_cuda(const View& gate_up, const View& y, std::int64_t rows, std::int64_t ffn,
                         void* stream) {
  if (rows == 0) {
    return;
  }
  dispatch_float(gate_up.dtype, "swiglu_forward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    constexpr int kCount = kPack<T>;
    const bool packed = ffn % kCount == 0 && aligned16(gate_up.data, y.data);
    launch_kernel("swiglu_forward", packed ? forward_kernel<T, kCount> : forward_kernel<T, 1>,
                  grid_of(rows, ffn, packed ? kCount : 1), dim3(kThreads), 0, stream,
                  gate_up.as<T>(), y.as<T>(), rows, ffn);
  });
}

void swiglu_backward_cuda(const View& gate_up, const View& grad_y, const View& grad_gate_up,
                          std::int64_t rows, std::int64_t ffn, void* stream) {
  if (rows == 0) {
    return;
  }
  dispatch_float(gate_up.dtype, "swiglu_backward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    constexpr int kCount = kPack<T>;
    const bool packed =
        ffn % kCount == 0 && aligned16(gate_up.data, grad_y.data, grad_gate_up.data);
    launch_kernel("swiglu_backward", packed ? backward_kernel<T, kCount> : backward_kernel<T, 1>,
                  grid_of(rows, ffn, packed ? kCount : 1), dim3(kThreads), 0, stream,
                  gate_up.as<T>(), grad_y.as<T>(), grad_gate_up.as<T>(), rows, ffn);
  });
}

}  // namespace zt::kernels
