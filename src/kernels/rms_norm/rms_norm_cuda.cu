#include <algorithm>

#include "kernels/column_sums.cuh"
#include "kernels/cuda_common.cuh"
#include "kernels/rms_norm/rms_norm_impl.h"

namespace zt::kernels {
namespace {

// One block per row (forward) or per set of rows (backward). A thread holds kTurns packs of kCount
// neighbouring elements in registers, so that each row is read once.
constexpr int kWide = 32;   ///< elements per thread of the forward and of long backward rows
constexpr int kNarrow = 8;  ///< elements per thread of backward rows up to 8192
constexpr int kWideThreads = 512;
constexpr int kNarrowThreads = 1024;
constexpr std::int64_t kMaxCols = static_cast<std::int64_t>(kWide) * kWideThreads;
constexpr std::int64_t kMaxPartials = 1024;

/// X: type of x and of what is added to it; T: of the weight and of what it is multiplied with.
template <typename X, typename T>
struct Forward {
  const X* x;
  const X* residual;  ///< may be null
  X* sum;
  const T* weight;
  T* y;
  float* rstd;  ///< may be null
};

template <typename X, typename T, int kCount, int kTurns>
__global__ void __launch_bounds__(kWideThreads)
    forward_kernel(Forward<X, T> io, int cols, float epsilon) {
  __shared__ float scratch[kWarp];
  const std::int64_t base = static_cast<std::int64_t>(blockIdx.x) * cols;
  Pack<X, kCount> held[kTurns];
  float squares = 0.0F;
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int col = (turn * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kCount;
    if (col >= cols) {
      continue;
    }
    held[turn] = load_pack<X, kCount>(io.x + base + col);
    if (io.residual != nullptr) {
      const auto other = load_pack<X, kCount>(io.residual + base + col);
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        held[turn].at[j] = from_float<X>(to_float(held[turn].at[j]) + to_float(other.at[j]));
      }
      store_pack(io.sum + base + col, held[turn]);
    }
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const float value = to_float(held[turn].at[j]);
      squares += value * value;
    }
  }
  const float mean = block_sum(squares, scratch) / static_cast<float>(cols);
  const float rstd = 1.0F / sqrtf(mean + epsilon);
  if (io.rstd != nullptr && threadIdx.x == 0) {
    io.rstd[blockIdx.x] = rstd;
  }
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int col = (turn * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kCount;
    if (col >= cols) {
      continue;
    }
    const auto weight = load_pack<T, kCount>(io.weight + col);
    Pack<T, kCount> y;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const float normed = round_through<T>(to_float(held[turn].at[j]) * rstd);
      y.at[j] = from_float<T>(to_float(weight.at[j]) * normed);
    }
    store_pack(io.y + base + col, y);
  }
}

template <typename X, typename T>
struct Backward {
  const X* x;
  const T* weight;
  const float* rstd;
  const T* grad_y;
  const X* grad_residual;  ///< may be null
  X* grad_x;
  float* partials;  ///< [gridDim.x x cols]
};

/// Block b takes rows b, b + gridDim.x, ... and keeps their weight gradient in registers.
template <typename X, typename T, int kCount, int kTurns, int kThreads>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(Backward<X, T> io, std::int64_t rows, int cols) {
  __shared__ float scratch[kWarp];
  float grad_weight[kTurns][kCount] = {};
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const std::int64_t base = row * cols;
    const float rstd = io.rstd[row];
    float normed[kTurns][kCount];
    float grad[kTurns][kCount];  // grad_y * weight
    Pack<X, kCount> other[kTurns];
    float dot = 0.0F;
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
      const int col =
          (turn * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kCount;
      if (col >= cols) {
        continue;
      }
      const auto x = load_pack<X, kCount>(io.x + base + col);
      const auto grad_y = load_pack<T, kCount>(io.grad_y + base + col);
      const auto weight = load_pack<T, kCount>(io.weight + col);
      if (io.grad_residual != nullptr) {
        other[turn] = load_pack<X, kCount>(io.grad_residual + base + col);
      }
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        normed[turn][j] = to_float(x.at[j]) * rstd;
        grad[turn][j] = to_float(grad_y.at[j]) * to_float(weight.at[j]);
        dot += grad[turn][j] * normed[turn][j];
        grad_weight[turn][j] += to_float(grad_y.at[j]) * round_through<T>(normed[turn][j]);
      }
    }
    const float mean = block_sum(dot, scratch) / static_cast<float>(cols);
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
      const int col =
          (turn * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kCount;
      if (col >= cols) {
        continue;
      }
      Pack<X, kCount> grad_x;
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        const float value = rstd * (grad[turn][j] - normed[turn][j] * mean);
        grad_x.at[j] = from_float<X>(io.grad_residual != nullptr
                                         ? to_float(other[turn].at[j]) + round_through<X>(value)
                                         : value);
      }
      store_pack(io.grad_x + base + col, grad_x);
    }
  }
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int col = (turn * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kCount;
    if (col < cols) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        io.partials[blockIdx.x * static_cast<std::int64_t>(cols) + col + j] = grad_weight[turn][j];
      }
    }
  }
}

unsigned threads_for(std::int64_t cols, int per_thread) {
  return static_cast<unsigned>(round_up(ceil_div(cols, per_thread), kWarp));
}

void check_cols(const RmsNormShape& shape) {
  if (shape.cols > kMaxCols) {
    throw DeviceError("[kernels.rms_norm] row length: got " + std::to_string(shape.cols) +
                      ", expected at most " + std::to_string(kMaxCols) + " on CUDA.");
  }
}

/// Whether rows of packs of T lie so in memory that a pack of X is moved by whole instructions.
template <typename X, typename T>
bool packs_align(const X* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % (sizeof(X) * kPack<T>) == 0;
}

/// Calls visit with tags of the types of x and of the weight.
template <typename Visit>
void with_dtypes(const View& x, const View& weight, const char* name, const Visit& visit) {
  dispatch_float(weight.dtype, name, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    if (x.dtype == weight.dtype) {
      visit(TypeTag<T>{}, tag);
    } else {
      visit(TypeTag<float>{}, tag);
    }
  });
}

template <typename X, typename T, int kElements, int kThreads>
void launch_backward(const Backward<X, T>& at, const RmsNormShape& shape, std::int64_t partials,
                     bool packed, void* stream) {
  constexpr int kCount = kPack<T>;
  launch_kernel("rms_norm_backward",
                packed ? backward_kernel<X, T, kCount, kElements / kCount, kThreads>
                       : backward_kernel<X, T, 1, kElements, kThreads>,
                dim3(static_cast<unsigned>(partials)), dim3(threads_for(shape.cols, kElements)), 0,
                stream, at, shape.rows, static_cast<int>(shape.cols));
}

}  // namespace

void rms_norm_forward_cuda(const RmsNormForward& io, const RmsNormShape& shape, void* stream) {
  check_cols(shape);
  if (shape.rows == 0) {
    return;
  }
  with_dtypes(io.x, io.weight, "rms_norm_forward", [&](auto x_tag, auto tag) {
    using X = typename decltype(x_tag)::Type;
    using T = typename decltype(tag)::Type;
    constexpr int kCount = kPack<T>;
    const bool fused = io.residual.numel != 0;
    const Forward<X, T> at{io.x.as<X>(),   fused ? io.residual.as<X>() : nullptr,
                           io.sum.as<X>(), io.weight.as<T>(),
                           io.y.as<T>(),   io.rstd.numel != 0 ? io.rstd.as<float>() : nullptr};
    const bool packed = shape.cols % kCount == 0 && aligned16(at.weight, at.y) &&
                        packs_align<X, T>(at.x) &&
                        (!fused || (packs_align<X, T>(at.residual) && packs_align<X, T>(at.sum)));
    launch_kernel(
        "rms_norm_forward",
        packed ? forward_kernel<X, T, kCount, kWide / kCount> : forward_kernel<X, T, 1, kWide>,
        dim3(static_cast<unsigned>(shape.rows)), dim3(threads_for(shape.cols, kWide)), 0, stream,
        at, static_cast<int>(shape.cols), shape.epsilon);
  });
}

void rms_norm_backward_cuda(const RmsNormBackward& io, const RmsNormShape& shape, void* stream) {
  check_cols(shape);
  if (shape.rows == 0) {
    return;
  }
  // The number of partial sums depends on the shape only, never on the device: same bits
  // everywhere.
  const std::int64_t partials =
      std::min({shape.rows, kMaxPartials, rms_norm_workspace(shape) / shape.cols});
  with_dtypes(io.x, io.weight, "rms_norm_backward", [&](auto x_tag, auto tag) {
    using X = typename decltype(x_tag)::Type;
    using T = typename decltype(tag)::Type;
    const Backward<X, T> at{io.x.as<X>(),
                            io.weight.as<T>(),
                            io.rstd.as<float>(),
                            io.grad_y.as<T>(),
                            io.grad_residual.numel != 0 ? io.grad_residual.as<X>() : nullptr,
                            io.grad_x.as<X>(),
                            io.workspace.as<float>()};
    const bool packed = shape.cols % kPack<T> == 0 && aligned16(at.weight, at.grad_y) &&
                        packs_align<X, T>(at.x) && packs_align<X, T>(at.grad_residual) &&
                        packs_align<X, T>(at.grad_x);
    if (shape.cols <= static_cast<std::int64_t>(kNarrow) * kNarrowThreads) {
      launch_backward<X, T, kNarrow, kNarrowThreads>(at, shape, partials, packed, stream);
    } else {
      launch_backward<X, T, kWide, kWideThreads>(at, shape, partials, packed, stream);
    }
  });
  add_column_sums("rms_norm_backward", io.workspace.as<float>(), partials, shape.cols,
                  io.grad_weight, View{}, stream);
}

}  // namespace zt::kernels
