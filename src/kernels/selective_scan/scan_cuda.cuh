#pragma once

// What the CUDA halves of the selective scan share: how a block of 256 threads is laid over
// channels and states, and the functions of one token.
//
// A warp is 8 groups of 4 neighbouring lanes (a quad). The lanes of a quad hold 4 channels; the
// groups hold kGroups sets of kStates states each, and 8 / kGroups further sets of channels. So a
// block holds 256 / kGroups channels, and sums over channels of the same states start in a quad.

#include <type_traits>

#include "kernels/cuda_common.cuh"
#include "kernels/cuda_parameter.cuh"
#include "kernels/selective_scan/selective_scan_impl.h"

namespace zt::kernels::scan {

inline constexpr int kThreads = 256;
inline constexpr int kWarps = kThreads / kWarp;
inline constexpr float kLog2E = 1.44269504088896341F;
inline constexpr float kLn2 = 0.69314718055994531F;

/// A strided operand on the device. Tokens, columns and the stride in bytes fit 32 bits, so that an
/// address costs two instructions.
template <typename T>
struct Rows {
  T* data;
  int stride;  ///< bytes

  __device__ __forceinline__ T* at(int token, int column) const {
    return down(data, token, stride) + column;
  }
  /// `tokens` rows below `from`.
  static __device__ __forceinline__ T* down(T* from, int tokens, int stride) {
    using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
    const auto offset = static_cast<std::int64_t>(tokens) * stride;
    return reinterpret_cast<T*>(reinterpret_cast<Byte*>(from) + offset);
  }
};
template <typename T>
Rows<T> rows_of(const TokenMatrix& matrix, std::int64_t columns) {
  const std::int64_t bytes = matrix.stride_of(columns) * static_cast<std::int64_t>(sizeof(T));
  if (bytes > INT32_MAX) {
    throw DeviceError("[kernels.selective_scan] row length: got " + std::to_string(bytes) +
                      " bytes, expected less than 2^31 on CUDA.");
  }
  return {matrix.view.as<T>(), static_cast<int>(bytes)};
}

/// The inputs of both directions; bias and positions may be null. Without a gate z is u, unused.
template <typename T>
struct Inputs {
  Rows<const T> u, delta, b, c, z;
  Parameter a_log, skip, bias;
  const std::int64_t* positions;
  int sequence, channels, states;
  bool gated;
};
template <typename T>
Inputs<T> inputs_of(const ScanInputs& in, const ScanShape& shape) {
  if (shape.batch * shape.sequence > INT32_MAX || shape.channels > INT32_MAX) {
    throw DeviceError("[kernels.selective_scan] tokens: got " +
                      std::to_string(shape.batch * shape.sequence) +
                      ", expected less than 2^31 on CUDA.");
  }
  return {rows_of<const T>(in.u, shape.channels),
          rows_of<const T>(in.delta, shape.channels),
          rows_of<const T>(in.b, shape.states),
          rows_of<const T>(in.c, shape.states),
          rows_of<const T>(in.z.empty() ? in.u : in.z, shape.channels),
          parameter_of(in.a_log),
          parameter_of(in.skip),
          parameter_of(in.delta_bias),
          in.positions.numel > 0 ? in.positions.as<std::int64_t>() : nullptr,
          static_cast<int>(shape.sequence),
          static_cast<int>(shape.channels),
          static_cast<int>(shape.states),
          !in.z.empty()};
}

__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// Starts bringing the line of `from` to the second-level cache.
__device__ __forceinline__ void prefetch(const void* from) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
}
__device__ __forceinline__ float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float sigmoid(float x) {
  return reciprocal(1.0F + exp2_fast(-kLog2E * x));
}

/// log(1 + e^x): with w = e^-|x| and s = w / (2 + w), log(1 + w) = 2 atanh(s), a series in
/// s^2 <= 1/9. NaN stays NaN.
__device__ __forceinline__ float softplus(float x) {
  const float w = exp2_fast(-kLog2E * fabsf(x));
  const float s = w * reciprocal(2.0F + w);
  const float q = s * s;
  float p = 1.0F / 15.0F;
  p = fmaf(p, q, 1.0F / 13.0F);
  p = fmaf(p, q, 1.0F / 11.0F);
  p = fmaf(p, q, 1.0F / 9.0F);
  p = fmaf(p, q, 1.0F / 7.0F);
  p = fmaf(p, q, 1.0F / 5.0F);
  p = fmaf(p, q, 1.0F / 3.0F);
  p = fmaf(p, q, 1.0F);
  return fmaf(2.0F * s, p, fmaxf(x, 0.0F));
}

/// The segment that a block works on, counted over all rows. Grids are blocks of channels x rows x
/// segments.
__device__ __forceinline__ std::int64_t part_of_block() {
  return static_cast<std::int64_t>(blockIdx.y) * gridDim.z + blockIdx.z;
}

/// Where a thread stands in its block.
template <int kStates, int kGroups>
struct Place {
  static constexpr int kChannels = kThreads / kGroups;  ///< of a block
  static constexpr int kSub = 8 / kGroups;              ///< sets of 4 channels in a warp
  static constexpr int kColumns = kStates * kGroups;    ///< states, padded

  int lane, warp, quad, group, sub, channel, state;
  __device__ __forceinline__ Place()
      : lane(static_cast<int>(threadIdx.x) % kWarp),
        warp(static_cast<int>(threadIdx.x) / kWarp),
        quad(lane % 4),
        group(lane / 4 % kGroups),
        sub(lane / 4 / kGroups),
        channel((warp * kSub + sub) * 4 + quad),
        state(group * kStates) {}
};

/// What a thread reads and writes of the operands: kWidth neighbouring columns of every kRows-th
/// token. More than one only where neighbours lie aligned in all of them.
template <int kStates, int kGroups, int kWidth>
struct Share {
  static constexpr int kAcross = Place<kStates, kGroups>::kChannels / kWidth;
  static constexpr int kRows = kThreads / kAcross;

  int row, at, column;  ///< first token, first column in the block and of all
  bool valid;
  float skip[kWidth], bias[kWidth];

  template <typename T>
  __device__ __forceinline__ Share(const Inputs<T>& in, int first_channel)
      : row(static_cast<int>(threadIdx.x) / kAcross),
        at(static_cast<int>(threadIdx.x) % kAcross * kWidth),
        column(first_channel + at),
        valid(column < in.channels) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      skip[k] = valid ? parameter_at(in.skip, column + k) : 0.0F;
      bias[k] = valid && in.bias.data != nullptr ? parameter_at(in.bias, column + k) : 0.0F;
    }
  }
};

/// kStates neighbouring floats of shared memory, 16 bytes at a time.
template <int kStates>
__device__ __forceinline__ void load_states(const float* from, float (&to)[kStates]) {
#pragma unroll
  for (int i = 0; i < kStates; i += 4) {
    const auto pack = load_pack<float, 4>(from + i);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      to[i + j] = pack.at[j];
    }
  }
}
template <int kStates>
__device__ __forceinline__ void store_states(float* to, const float (&from)[kStates]) {
#pragma unroll
  for (int i = 0; i < kStates; i += 4) {
    Pack<float, 4> pack;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      pack.at[j] = from[i + j];
    }
    store_pack(to + i, pack);
  }
}

/// Sums of `values[k]` over the kGroups groups of a warp that share channels, for kBatch tokens:
/// the lanes of group k (modulo kBatch) get token k's. Each step halves the tokens a lane has left.
template <int kGroups, int kBatch>
__device__ __forceinline__ float sum_groups(float (&values)[kBatch], int group) {
  int left = kBatch;
#pragma unroll
  for (int bit = kBatch / 2; bit >= 1; bit /= 2) {
    const bool upper = (group & bit) != 0;
#pragma unroll
    for (int k = 0; k < kBatch / 2; ++k) {
      if (k < bit) {
        const float sent = upper ? values[k] : values[k + bit];
        const float own = upper ? values[k + bit] : values[k];
        values[k] = own + __shfl_xor_sync(0xffffffffU, sent, 4 * bit);
      }
    }
    left = bit;
  }
  static_cast<void>(left);
  float sum = values[0];
#pragma unroll
  for (int bit = kBatch; bit < kGroups; bit *= 2) {
    sum += __shfl_xor_sync(0xffffffffU, sum, 4 * bit);
  }
  return sum;
}

/// Fills b or c of `count` tokens, zeros up to kTokens and for padded states. Loads are not
/// conditional (the first element stands in), so that all are under way together.
template <typename T, int kTokens, int kColumns>
__device__ __forceinline__ void load_columns(const Rows<const T>& from, int token, int count,
                                             int states, float* to) {
  static_assert(kTokens * kColumns % kThreads == 0, "every thread fills as many");
#pragma unroll
  for (int turn = 0; turn < kTokens * kColumns / kThreads; ++turn) {
    const int i = turn * kThreads + static_cast<int>(threadIdx.x);
    const int t = i / kColumns;
    const int n = i % kColumns;
    const bool inside = t < count && n < states;
    const float value = to_float(*from.at(inside ? token + t : token, inside ? n : 0));
    to[i] = inside ? value : 0.0F;
  }
}

/// -exp(a_log) log2(e) of a thread's states, 0 in the padding.
template <int kStates>
__device__ __forceinline__ void load_decays(const Parameter& a_log, int channel, int channels,
                                            int state, int states, float (&a)[kStates]) {
#pragma unroll
  for (int j = 0; j < kStates; ++j) {
    const int n = state + j;
    a[j] =
        channel < channels && n < states
            ? -kLog2E * expf(parameter_at(a_log, static_cast<std::int64_t>(channel) * states + n))
            : 0.0F;
  }
}

/// Calls body(states per lane, groups) as integral constants for N states: 16 or 64 in all, the
/// rest padded. Few instances keep the build short.
template <typename Body>
void dispatch_states(const ScanShape& shape, Body body) {
  if (shape.states <= 16) {
    return body(std::integral_constant<int, 4>{}, std::integral_constant<int, 4>{});
  }
  return body(std::integral_constant<int, 8>{}, std::integral_constant<int, 8>{});
}

/// Added to the exponent of the decay at a token that starts from a zero state.
__device__ __forceinline__ float restart_exponent(const std::int64_t* positions, int token,
                                                  bool inside) {
  return positions != nullptr && inside && positions[token] == 0 ? -1e30F : 0.0F;
}

/// Whether two neighbouring elements from an even column on lie aligned in every row.
template <typename T>
bool pairs(const Rows<T>& rows) {
  constexpr std::uintptr_t kPair = 2 * sizeof(T);
  return reinterpret_cast<std::uintptr_t>(rows.data) % kPair == 0 &&
         static_cast<std::uintptr_t>(rows.stride) % kPair == 0;
}

/// Lets a kernel take `bytes` of dynamic shared memory.
template <typename... Parameters>
void allow_shared(const char* name, void (*kernel)(Parameters...), std::size_t bytes) {
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(bytes)),
             name);
}

}  // namespace zt::kernels::scan
