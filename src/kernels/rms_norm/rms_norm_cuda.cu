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
constexpr unsigned kRowsOfBlock = 4;  ///< forward rows that one warp holds
constexpr int kWideThreads = 512;
constexpr int kNarrowThreads = 1024;
constexpr std::int64_t kMaxCols = static_cast<std::int64_t>(kWide) * kWideThreads;
constexpr std::int64_t kMaxPartials = 1024;

template <typename T>
struct Forward {
  const T* x;
  const T* residual;  ///< may be null
  T* sum;
  const T* weight;
  T* y;
  float* rstd;  ///< may be null
};

template <typename T, int kCount, int kTurns>
__global__ void __launch_bounds__(kWideThreads)
    forward_kernel(Forward<T> io, std::int64_t rows, int cols, float epsilon) {
  __shared__ float scratch[kWarp];
  // Rows of one warp share a block (y); longer ones have it to themselves.
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= rows) {
    return;
  }
  const std::int64_t base = row * cols;
  Pack<T, kCount> held[kTurns];
  float squares = 0.0F;
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int col = (turn * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kCount;
    if (col >= cols) {
      continue;
    }
    held[turn] = load_pack<T, kCount>(io.x + base + col);
    if (io.residual != nullptr) {
      const auto other = load_pack<T, kCount>(io.residual + base + col);
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        held[turn].at[j] = from_float<T>(to_float(held[turn].at[j]) + to_float(other.at[j]));
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
    io.rstd[row] = rstd;
  }
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int col = (turn * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kCount;
    if (col >= cols) {
      continue;
    }
    const auto weight = load_pack<T, kCount>(io.weight + col);
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const float normed = round_through<T>(to_float(held[turn].at[j]) * rstd);
      held[turn].at[j] = from_float<T>(to_float(weight.at[j]) * normed);
    }
    store_pack(io.y + base + col, held[turn]);
  }
}

template <typename T>
struct Backward {
  const T* x;
  const T* weight;
  const float* rstd;
  const T* grad_y;
  const T* grad_residual;  ///< may be null
  T* grad_x;
  float* partials;  ///< [gridDim.x x cols]
};

/// What a thread reads of one row.
template <typename T, int kCount, int kTurns>
struct RowOf {
  Pack<T, kCount> x[kTurns], grad_y[kTurns], other[kTurns];
  float rstd;
};

template <int kCount>
__device__ __forceinline__ int column(int turn) {
  return (turn * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kCount;
}

template <typename T, int kCount, int kTurns>
__device__ __forceinline__ void load_row(const Backward<T>& io, std::int64_t row, int cols,
                                         RowOf<T, kCount, kTurns>& out) {
  const std::int64_t base = row * cols;
  out.rstd = io.rstd[row];
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int col = column<kCount>(turn);
    if (col >= cols) {
      continue;
    }
    out.x[turn] = load_pack<T, kCount>(io.x + base + col);
    out.grad_y[turn] = load_pack<T, kCount>(io.grad_y + base + col);
    if (io.grad_residual != nullptr) {
      out.other[turn] = load_pack<T, kCount>(io.grad_residual + base + col);
    }
  }
}

/// Block b takes rows b, b + gridDim.x, ... and keeps their weight gradient in registers. The next
/// row is on its way while one is worked on, where the registers suffice.
template <typename T, int kCount, int kTurns, int kThreads>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(Backward<T> io, std::int64_t rows, int cols) {
  __shared__ float scratch[kWarp];
  constexpr bool kAhead = kTurns * kCount <= kNarrow;
  float grad_weight[kTurns][kCount] = {};
  Pack<T, kCount> weight[kTurns];
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    if (column<kCount>(turn) < cols) {
      weight[turn] = load_pack<T, kCount>(io.weight + column<kCount>(turn));
    }
  }
  RowOf<T, kCount, kTurns> held;
  RowOf<T, kCount, kTurns> next;
  if (kAhead) {
    load_row<T, kCount, kTurns>(io, blockIdx.x, cols, next);
  }
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    if (kAhead) {
      held = next;
      if (row + gridDim.x < rows) {
        load_row<T, kCount, kTurns>(io, row + gridDim.x, cols, next);
      }
    } else {
      load_row<T, kCount, kTurns>(io, row, cols, held);
    }
    const std::int64_t base = row * cols;
    float normed[kTurns][kCount];
    float grad[kTurns][kCount];  // grad_y * weight
    float dot = 0.0F;
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
      if (column<kCount>(turn) >= cols) {
        continue;
      }
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        const float grad_y = to_float(held.grad_y[turn].at[j]);
        normed[turn][j] = to_float(held.x[turn].at[j]) * held.rstd;
        grad[turn][j] = grad_y * to_float(weight[turn].at[j]);
        dot += grad[turn][j] * normed[turn][j];
        grad_weight[turn][j] += grad_y * round_through<T>(normed[turn][j]);
      }
    }
    const float mean = block_sum(dot, scratch) / static_cast<float>(cols);
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
      const int col = column<kCount>(turn);
      if (col >= cols) {
        continue;
      }
      Pack<T, kCount> grad_x;
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        const float value = held.rstd * (grad[turn][j] - normed[turn][j] * mean);
        grad_x.at[j] = from_float<T>(
            io.grad_residual != nullptr ? to_float(held.other[turn].at[j]) + round_through<T>(value)
                                        : value);
      }
      store_pack(io.grad_x + base + col, grad_x);
    }
  }
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int col = column<kCount>(turn);
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

template <typename T, int kElements, int kThreads>
void launch_backward(const Backward<T>& at, const RmsNormShape& shape, std::int64_t partials,
                     bool packed, void* stream) {
  constexpr int kCount = kPack<T>;
  launch_kernel("rms_norm_backward",
                packed ? backward_kernel<T, kCount, kElements / kCount, kThreads>
                       : backward_kernel<T, 1, kElements, kThreads>,
                dim3(static_cast<unsigned>(partials)), dim3(threads_for(shape.cols, kElements)), 0,
                stream, at, shape.rows, static_cast<int>(shape.cols));
}

}  // namespace

void rms_norm_forward_cuda(const RmsNormForward& io, const RmsNormShape& shape, void* stream) {
  check_cols(shape);
  if (shape.rows == 0) {
    return;
  }
  dispatch_float(io.x.dtype, "rms_norm_forward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    constexpr int kCount = kPack<T>;
    const bool fused = io.residual.numel != 0;
    const Forward<T> at{io.x.as<T>(),   fused ? io.residual.as<T>() : nullptr,
                        io.sum.as<T>(), io.weight.as<T>(),
                        io.y.as<T>(),   io.rstd.numel != 0 ? io.rstd.as<float>() : nullptr};
    const bool packed = shape.cols % kCount == 0 && aligned16(at.x, at.weight, at.y) &&
                        (!fused || aligned16(at.residual, at.sum));
    const unsigned threads = threads_for(shape.cols, kWide);
    const unsigned rows_of_block = threads == kWarp ? kRowsOfBlock : 1;
    launch_kernel("rms_norm_forward",
                  packed ? forward_kernel<T, kCount, kWide / kCount> : forward_kernel<T, 1, kWide>,
                  dim3(static_cast<unsigned>(ceil_div(shape.rows, rows_of_block))),
                  dim3(threads, rows_of_block), 0, stream, at, shape.rows,
                  static_cast<int>(shape.cols), shape.epsilon);
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
  dispatch_float(io.x.dtype, "rms_norm_backward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const Backward<T> at{io.x.as<T>(),
                         io.weight.as<T>(),
                         io.rstd.as<float>(),
                         io.grad_y.as<T>(),
                         io.grad_residual.numel != 0 ? io.grad_residual.as<T>() : nullptr,
                         io.grad_x.as<T>(),
                         io.workspace.as<float>()};
    const bool packed = shape.cols % kPack<T> == 0 &&
                        aligned16(at.x, at.weight, at.grad_y, at.grad_residual, at.grad_x);
    if (shape.cols <= static_cast<std::int64_t>(kNarrow) * kNarrowThreads) {
      launch_backward<T, kNarrow, kNarrowThreads>(at, shape, partials, packed, stream);
    } else {
      launch_backward<T, kWide, kWideThreads>(at, shape, partials, packed, stream);
    }
  });
  add_column_sums("rms_norm_backward", io.workspace.as<float>(), partials, shape.cols,
                  io.grad_weight, View{}, stream);
}

}  // namespace zt::kernels
