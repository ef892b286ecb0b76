#pragma once

#include "kernels/cuda_common.cuh"

namespace zt::kernels::heads {

// kLanes neighbouring threads own one head; a thread owns elements i .. i + kCount of the first
// half of the head and their partners i + D/2 (the half-split pairing), kTurns times.

/// A thread's elements of one head: `low` in the first half, `high` their partners.
template <int kCount, int kTurns>
struct Pairs {
  float low[kTurns][kCount] = {}, high[kTurns][kCount] = {};
};

/// The same as loaded; stays in its own type to save registers. Zero where the head ends.
template <typename T, int kCount, int kTurns>
struct Held {
  Pack<T, kCount> packed_low[kTurns] = {}, packed_high[kTurns] = {};

  __device__ __forceinline__ float low(int turn, int j) const {
    return to_float(packed_low[turn].at[j]);
  }
  __device__ __forceinline__ float high(int turn, int j) const {
    return to_float(packed_high[turn].at[j]);
  }
  __device__ __forceinline__ Pairs<kCount, kTurns> widened() const {
    Pairs<kCount, kTurns> pairs;
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        pairs.low[turn][j] = low(turn, j);
        pairs.high[turn][j] = high(turn, j);
      }
    }
    return pairs;
  }
};

template <int kCount, int kLanes>
__device__ __forceinline__ int pair_index(int turn) {
  return (turn * kLanes + static_cast<int>(threadIdx.x) % kLanes) * kCount;
}

template <typename T, int kCount, int kLanes, int kTurns>
__device__ __forceinline__ Held<T, kCount, kTurns> load_head(const T* head, int half) {
  Held<T, kCount, kTurns> held;
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int i = pair_index<kCount, kLanes>(turn);
    if (i < half) {
      held.packed_low[turn] = load_pack<T, kCount>(head + i);
      held.packed_high[turn] = load_pack<T, kCount>(head + half + i);
    }
  }
  return held;
}

/// `low` holds the cosines and `high` the sines of a position, rounded to T.
template <typename T, int kCount, int kLanes, int kTurns>
__device__ __forceinline__ Held<T, kCount, kTurns> load_angles(const float* table, int half) {
  constexpr int kWidth = kCount < kPack<float> ? kCount : kPack<float>;
  Held<T, kCount, kTurns> angles;
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int i = pair_index<kCount, kLanes>(turn);
    if (i < half) {
#pragma unroll
      for (int part = 0; part < kCount; part += kWidth) {
        const auto cosines = load_pack<float, kWidth>(table + i + part);
        const auto sines = load_pack<float, kWidth>(table + half + i + part);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          angles.packed_low[turn].at[part + j] = from_float<T>(cosines.at[j]);
          angles.packed_high[turn].at[part + j] = from_float<T>(sines.at[j]);
        }
      }
    }
  }
  return angles;
}

template <typename T, int kCount, int kLanes, int kTurns>
__device__ __forceinline__ void store_head(T* head, int half, const Pairs<kCount, kTurns>& pairs) {
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int i = pair_index<kCount, kLanes>(turn);
    if (i < half) {
      Pack<T, kCount> low;
      Pack<T, kCount> high;
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        low.at[j] = from_float<T>(pairs.low[turn][j]);
        high.at[j] = from_float<T>(pairs.high[turn][j]);
      }
      store_pack(head + i, low);
      store_pack(head + half + i, high);
    }
  }
}

template <typename T, int kCount, int kLanes, int kTurns>
__device__ __forceinline__ void copy_head(const T* from, T* to, int half) {
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int i = pair_index<kCount, kLanes>(turn);
    if (i < half) {
      const auto low = load_pack<T, kCount>(from + i);
      const auto high = load_pack<T, kCount>(from + half + i);
      store_pack(to + i, low);
      store_pack(to + half + i, high);
    }
  }
}

/// True when `mine` is true for any thread of the warp.
__device__ __forceinline__ bool any_of_warp(bool mine) {
  return __any_sync(0xffffffffU, static_cast<int>(mine)) != 0;
}

template <int kLanes, typename T, int kCount, int kTurns>
__device__ __forceinline__ float sum_of_squares(const Held<T, kCount, kTurns>& x) {
  float sum = 0.0F;
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      sum += x.low(turn, j) * x.low(turn, j);
      sum += x.high(turn, j) * x.high(turn, j);
    }
  }
  return lane_sum<kLanes>(sum);
}

template <typename T, int kCount, int kTurns>
__device__ __forceinline__ Pairs<kCount, kTurns> normalised(const Held<T, kCount, kTurns>& x,
                                                            const Held<T, kCount, kTurns>& weight,
                                                            float rstd) {
  Pairs<kCount, kTurns> y;
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      y.low[turn][j] =
          round_through<T>(weight.low(turn, j) * round_through<T>(x.low(turn, j) * rstd));
      y.high[turn][j] =
          round_through<T>(weight.high(turn, j) * round_through<T>(x.high(turn, j) * rstd));
    }
  }
  return y;
}

/// Turns each pair by its angle (kSign = 1) or back (-1) and rounds to T.
template <int kSign, typename T, int kCount, int kTurns>
__device__ __forceinline__ void rotate(Pairs<kCount, kTurns>& x,
                                       const Held<T, kCount, kTurns>& angles) {
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const float cosine = angles.low(turn, j);
      const float sine = kSign * angles.high(turn, j);
      const float low = x.low[turn][j];
      const float high = x.high[turn][j];
      x.low[turn][j] = round_through<T>(low * cosine - high * sine);
      x.high[turn][j] = round_through<T>(high * cosine + low * sine);
    }
  }
}

/// Turns `grad`, the gradient of a normalised head, into the gradient of `x`; `grad_weight` becomes
/// the head's gradient of the weight. Heads that are not normalised (`normed` false) only join the
/// exchange.
template <typename T, int kCount, int kLanes, int kTurns>
__device__ __forceinline__ void norm_backward(Pairs<kCount, kTurns>& grad,
                                              Pairs<kCount, kTurns>& grad_weight,
                                              const Held<T, kCount, kTurns>& x,
                                              const Held<T, kCount, kTurns>& weight, float rstd,
                                              int head_dim, bool normed) {
  float sum = 0.0F;
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      sum += grad.low[turn][j] * weight.low(turn, j) * (x.low(turn, j) * rstd);
      sum += grad.high[turn][j] * weight.high(turn, j) * (x.high(turn, j) * rstd);
    }
  }
  const float mean = lane_sum<kLanes>(sum) / static_cast<float>(head_dim);
  if (!normed) {
    return;
  }
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const float low = x.low(turn, j) * rstd;
      const float high = x.high(turn, j) * rstd;
      grad_weight.low[turn][j] = grad.low[turn][j] * round_through<T>(low);
      grad_weight.high[turn][j] = grad.high[turn][j] * round_through<T>(high);
      grad.low[turn][j] = rstd * (grad.low[turn][j] * weight.low(turn, j) - low * mean);
      grad.high[turn][j] = rstd * (grad.high[turn][j] * weight.high(turn, j) - high * mean);
    }
  }
}

}  // namespace zt::kernels::heads
