#include "kernels/cross_entropy/cross_entropy_impl.h"
#include "kernels/cuda_common.cuh"

namespace zt::kernels {
namespace {

constexpr int kThreads = 1024;
constexpr int kSumThreads = 256;

/// exp; the fast form where the logits carry 8 to 11 bits anyway.
template <typename T>
__device__ __forceinline__ float exponential(float x) {
  if constexpr (sizeof(T) == 2) {
    return __expf(x);
  } else {
    return expf(x);
  }
}

/// Largest value so far and the sum of exp(value - largest).
struct Online {
  float largest, sum;
};

template <typename T>
__device__ __forceinline__ Online merge(Online a, Online b) {
  const float largest = fmaxf(a.largest, b.largest);
  if (largest == -INFINITY) {
    return {largest, 0.0F};
  }
  return {largest, a.sum * exponential<T>(a.largest - largest) +
                       b.sum * exponential<T>(b.largest - largest)};
}

/// Butterfly over the lanes of each warp, then over the warps: every thread gets the same bits.
template <typename T>
__device__ __forceinline__ Online merge_block(Online mine, Online* scratch) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto merge_warp = [](Online value) {
#pragma unroll
    for (int stride = kWarp / 2; stride >= 1; stride /= 2) {
      const Online other{__shfl_xor_sync(0xffffffffU, value.largest, stride),
                         __shfl_xor_sync(0xffffffffU, value.sum, stride)};
      // The lower lane's value stands first, so that both partners round alike.
      value = (threadIdx.x & static_cast<unsigned>(stride)) == 0 ? merge<T>(value, other)
                                                                 : merge<T>(other, value);
    }
    return value;
  };
  mine = merge_warp(mine);
  if (lane == 0) {
    scratch[threadIdx.x / kWarp] = mine;
  }
  __syncthreads();
  static_assert(kThreads / kWarp == kWarp);
  return merge_warp(scratch[lane]);
}

/// How a row splits: `head` single elements up to a 16-byte boundary, `packs`, then a tail.
struct Split {
  int head, packs;
};
template <typename T, int kCount>
__device__ __forceinline__ Split split_row(const T* row, int vocab) {
  if constexpr (kCount == 1) {
    return {0, vocab};
  } else {
    const auto off = static_cast<int>(reinterpret_cast<std::uintptr_t>(row) % 16);
    int head = off == 0 ? 0 : (16 - off) / static_cast<int>(sizeof(T));
    head = head < vocab ? head : vocab;
    return {head, (vocab - head) / kCount};
  }
}

template <typename T, int kCount>
__device__ __forceinline__ Online scan_row(const T* row, int vocab, Split split) {
  Online mine{-INFINITY, 0.0F};
  const auto add_one = [&](int col) { mine = merge<T>(mine, {to_float(row[col]), 1.0F}); };
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < split.head) {
    add_one(thread);
  }
  for (int pack = thread; pack < split.packs; pack += kThreads) {
    const auto in = load_pack<T, kCount>(row + split.head + pack * kCount);
    float value[kCount];
    float largest = mine.largest;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      value[j] = to_float(in.at[j]);
      largest = fmaxf(largest, value[j]);
    }
    if (largest == -INFINITY) {
      continue;
    }
    float sum = mine.sum * exponential<T>(mine.largest - largest);
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      sum += exponential<T>(value[j] - largest);
    }
    mine = {largest, sum};
  }
  const int tail = split.head + split.packs * kCount + thread;
  if (tail < vocab) {
    add_one(tail);
  }
  return mine;
}

/// Writes (softmax - onehot) * scale; back to front, as the end of the row was read last.
template <typename T, typename Grad, int kCount>
__device__ __forceinline__ void write_grad(const T* row, Grad* grad, int vocab, Split split,
                                           Online all, int target, float scale) {
  const float factor = scale / all.sum;
  const auto one = [&](int col, float logit) {
    const float power = exponential<T>(logit - all.largest);
    return from_float<Grad>(col == target ? (power / all.sum - 1.0F) * scale : power * factor);
  };
  const int thread = static_cast<int>(threadIdx.x);
  const int tail = split.head + split.packs * kCount + thread;
  if (tail < vocab) {
    grad[tail] = one(tail, to_float(row[tail]));
  }
  const int turns = (split.packs + kThreads - 1) / kThreads;
  for (int turn = turns - 1; turn >= 0; --turn) {
    const int pack = turn * kThreads + thread;
    if (pack >= split.packs) {
      continue;
    }
    const int col = split.head + pack * kCount;
    const auto in = load_pack<T, kCount>(row + col);
    Pack<Grad, kCount> out;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      out.at[j] = one(col + j, to_float(in.at[j]));
    }
    store_pack(grad + col, out);
  }
  if (thread < split.head) {
    grad[thread] = one(thread, to_float(row[thread]));
  }
}

template <typename T, typename Grad, int kCount>
__global__ void __launch_bounds__(kThreads)
    rows_kernel(const T* logits, const std::int64_t* targets, Grad* grad, float* row_loss,
                int vocab, float given_scale, const float* device_scale) {
  const float scale = device_scale != nullptr ? *device_scale : given_scale;
  __shared__ Online scratch[kWarp];
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * vocab;
  const T* row = logits + at;
  const std::int64_t target = targets[blockIdx.x];
  if (target < 0) {
    if (threadIdx.x == 0) {
      row_loss[blockIdx.x] = 0.0F;
    }
    if (grad != nullptr) {
      for (int col = static_cast<int>(threadIdx.x); col < vocab; col += kThreads) {
        grad[at + col] = from_float<Grad>(0.0F);
      }
    }
    return;
  }
  const Split split = split_row<T, kCount>(row, vocab);
  const Online all = merge_block<T>(scan_row<T, kCount>(row, vocab, split), scratch);
  if (threadIdx.x == 0) {
    row_loss[blockIdx.x] = logf(all.sum) + all.largest - to_float(row[target]);
  }
  if (grad != nullptr) {
    __syncthreads();  // the target's logit was read before it may be overwritten
    write_grad<T, Grad, kCount>(row, grad + at, vocab, split, all, static_cast<int>(target), scale);
  }
}

/// loss_sum += the sum of the row losses in row order: staged by the block, added by one thread.
__global__ void add_losses_kernel(const float* row_loss, std::int64_t rows, double* loss_sum) {
  __shared__ double staged[kSumThreads];
  double sum = 0.0;
  float ahead = threadIdx.x < rows ? row_loss[threadIdx.x] : 0.0F;
  for (std::int64_t first = 0; first < rows; first += kSumThreads) {
    __syncthreads();
    staged[threadIdx.x] = static_cast<double>(ahead);
    __syncthreads();
    const std::int64_t next = first + kSumThreads + threadIdx.x;
    ahead = next < rows ? row_loss[next] : 0.0F;
    if (threadIdx.x == 0) {
      // Rows past the end are 0 and change nothing.
#pragma unroll 16
      for (int i = 0; i < kSumThreads; ++i) {
        sum = __dadd_rn(sum, staged[i]);
      }
    }
  }
  if (threadIdx.x == 0) {
    *loss_sum = __dadd_rn(*loss_sum, sum);
  }
}

}  // namespace

void cross_entropy_cuda(const CrossEntropy& io, std::int64_t rows, std::int64_t vocab, double scale,
                        void* stream) {
  if (rows == 0) {
    return;
  }
  const int width = checked_narrow<int>(vocab);
  const bool wants_grad = io.grad.numel != 0;
  dispatch_float(io.logits.dtype, "cross_entropy", [&](auto logits_tag) {
    dispatch_float(wants_grad ? io.grad.dtype : io.logits.dtype, "cross_entropy", [&](auto tag) {
      using T = typename decltype(logits_tag)::Type;
      using Grad = typename decltype(tag)::Type;
      Grad* grad = wants_grad ? io.grad.as<Grad>() : nullptr;
      // Packs need rows of logits and of the gradient that are misaligned alike.
      constexpr int kCount = kPack<T>;
      const auto offset = [](const void* data, std::size_t bytes) {
        return reinterpret_cast<std::uintptr_t>(data) % bytes;
      };
      bool packed = offset(io.logits.data, sizeof(T)) == 0;
      if (wants_grad && sizeof(T) == sizeof(Grad)) {
        packed = packed && offset(grad, 16) == offset(io.logits.data, 16);
      } else if (wants_grad) {
        packed = packed && aligned16(io.logits.data) && vocab % kCount == 0 &&
                 offset(grad, alignof(Pack<Grad, kCount>)) == 0;
      }
      launch_kernel("cross_entropy",
                    packed ? rows_kernel<T, Grad, kCount> : rows_kernel<T, Grad, 1>,
                    dim3(static_cast<unsigned>(rows)), dim3(kThreads), 0, stream, io.logits.as<T>(),
                    io.targets.as<std::int64_t>(), grad, io.row_loss.as<float>(), width,
                    static_cast<float>(scale), io.scale.numel > 0 ? io.scale.as<float>() : nullptr);
    });
  });
  launch_kernel("cross_entropy", add_losses_kernel, dim3(1), dim3(kSumThreads), 0, stream,
                io.row_loss.as<float>(), rows, io.loss_sum.as<double>());
}

}  // namespace zt::kernels
