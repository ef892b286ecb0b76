#pragma once

// The parts of the scan's backward that stand alone: a chunk in shared memory, one token forward,
// and sums over the lanes of a quad on the tensor core.

#include "kernels/selective_scan/scan_cuda.cuh"

namespace zt::kernels::scan {

inline constexpr int kChunk = static_cast<int>(kScanChunk);

/// Tokens whose decays and states a thread holds in registers at a time.
template <int kStates>
inline constexpr int kPiece = 32 / kStates;

/// Shared memory of a block: delta and delta * u, the gradient of the ungated y, b and c of a
/// chunk; each thread's state before the pieces of the chunk other than the first and the last;
/// the warps' shares of grad_b and grad_c and the sums over states of one piece.
template <int kStates, int kGroups>
struct Shared {
  using At = Place<kStates, kGroups>;
  static constexpr int kTokens = kPiece<kStates>;
  static constexpr int kShares = kWarps * At::kSub;  ///< sets of 4 channels in the block
  static constexpr int kSharePitch = (kShares + 1) * At::kColumns;
  static constexpr int kSumPitch = At::kChannels + 8;
  float2 steps[kChunk][At::kChannels];
  float grad[kChunk][At::kChannels];
  float b[kChunk][At::kColumns], c[kChunk][At::kColumns];
  float before[kChunk / kTokens - 2][kThreads][kStates];
  float shares[kTokens][2][kSharePitch];
  float sums[3][kTokens][kSumPitch];  ///< through b, through the decay, ungated y
  float restarts[kChunk];             ///< see restart_exponent
};

template <typename T>
struct Backward {
  Inputs<T> in;
  const float* states;
  Rows<const T> grad_y;
  Rows<T> grad_u, grad_delta, grad_z, y;  ///< grad_z and y may be null
  float* token_sums;
  float* channel_sums;
  const float* carries;  ///< the adjoint after each segment of each row; null: zero
  int chunks, segment;   ///< chunks of a row, of a segment
};

__device__ __forceinline__ std::uint32_t tf32_nearest(float value) {
  return __float_as_uint(value) + 0x1000U;  // the tensor core drops the last 13 bits
}

__device__ __forceinline__ void mma_quads(const std::uint32_t (&a)[4], std::uint32_t low,
                                          std::uint32_t high, const float (&start)[4],
                                          float (&sum)[4]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%11,%12,%13};"
      : "=f"(sum[0]), "=f"(sum[1]), "=f"(sum[2]), "=f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(low), "r"(high), "f"(start[0]),
        "f"(start[1]), "f"(start[2]), "f"(start[3]));
}

/// Sums of four values over the 4 lanes of each quad, by the tensor core: the values are a 16 x 8
/// matrix whose rows are quads (0 and 2: rows g and g + 8, columns 0 to 3; 1 and 3: columns 4 to
/// 7), the other factor has ones where an even column meets rows 0 to 3 and an odd one rows 4 to 7.
/// fp32 values are cut in two parts of 11 and 11 bits, 16-bit tensors take the first only, rounded.
template <bool kExact>
__device__ __forceinline__ void sum_quads(const float (&values)[4], bool odd, float (&sum)[4]) {
  const std::uint32_t low = odd ? 0U : __float_as_uint(1.0F);
  const std::uint32_t high = odd ? __float_as_uint(1.0F) : 0U;
  constexpr float zero[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  const float ordered[4] = {values[0], values[2], values[1], values[3]};
  std::uint32_t first[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    first[i] = tf32_nearest(ordered[i]);
  }
  if constexpr (kExact) {
    std::uint32_t rest[4];
    float part[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      first[i] &= 0xffffe000U;
      rest[i] = tf32_nearest(ordered[i] - __uint_as_float(first[i]));
    }
    mma_quads(rest, low, high, zero, part);
    mma_quads(first, low, high, part, sum);
  } else {
    mma_quads(first, low, high, zero, sum);
  }
}

/// One element of the operands as the last pass over a piece needs it.
struct Element {
  float u, raw, z, grad;
};

/// The operands of neighbouring columns from one token on.
template <typename T>
struct Column {
  const T *u, *delta, *z, *grad;

  __device__ __forceinline__ Column(const Backward<T>& io, int token, int column)
      : u(io.in.u.at(token, column)),
        delta(io.in.delta.at(token, column)),
        z(io.in.z.at(token, column)),
        grad(io.grad_y.at(token, column)) {}
  template <int kWidth>
  __device__ __forceinline__ void load(const Backward<T>& io, int t, Element (&to)[kWidth]) const {
    const auto pack = [t](const T* from, int stride) {
      return load_pack<T, kWidth>(Rows<const T>::down(from, t, stride));
    };
    const auto u_at = pack(u, io.in.u.stride), raw_at = pack(delta, io.in.delta.stride),
               z_at = pack(z, io.in.z.stride), grad_at = pack(grad, io.grad_y.stride);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      to[k] = {to_float(u_at.at[k]), to_float(raw_at.at[k]), to_float(z_at.at[k]),
               to_float(grad_at.at[k])};
    }
  }
};

/// Everything of a chunk that does not depend on the states; zeros after its last token. Loads are
/// not conditional, so that several are under way together.
template <typename T, int kStates, int kGroups, int kWidth>
__device__ __forceinline__ void load_chunk(Shared<kStates, kGroups>& shared, const Backward<T>& io,
                                           int token, int count,
                                           const Share<kStates, kGroups, kWidth>& own) {
  using At = Place<kStates, kGroups>;
  constexpr int kRows = Share<kStates, kGroups, kWidth>::kRows;
  const Column<T> from(io, token, own.valid ? own.column : 0);
#pragma unroll 8
  for (int turn = 0; turn < kChunk / kRows; ++turn) {
    const int t = turn * kRows + own.row;
    const bool inside = own.valid && t < count;
    Element elements[kWidth];
    from.load(io, min(t, count - 1), elements);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const Element& it = elements[k];
      const float step = softplus(it.raw + own.bias[k]);
      const float grad = io.in.gated ? it.grad * (it.z * sigmoid(it.z)) : it.grad;
      shared.steps[t][own.at + k] = inside ? float2{step, step * it.u} : float2{0.0F, 0.0F};
      shared.grad[t][own.at + k] = inside ? grad : 0.0F;
    }
  }
  load_columns<T, kChunk, At::kColumns>(io.in.b, token, count, io.in.states, &shared.b[0][0]);
  load_columns<T, kChunk, At::kColumns>(io.in.c, token, count, io.in.states, &shared.c[0][0]);
  if (threadIdx.x < kChunk) {
    const int t = static_cast<int>(threadIdx.x);
    shared.restarts[t] = restart_exponent(io.in.positions, token + t, t < count);
  }
}

/// Brings the operands of the chunk from `token` on, which is whole, nearer: one row of one operand
/// per thread.
template <typename T>
__device__ __forceinline__ void prefetch_chunk(const Backward<T>& io, int token, int column) {
  static_assert(4 * kChunk == kThreads, "four operands");
  const int t = static_cast<int>(threadIdx.x) % kChunk;
  const int which = static_cast<int>(threadIdx.x) / kChunk;
  const Rows<const T>& from =
      which == 0 ? io.in.u : (which == 1 ? io.in.delta : (which == 2 ? io.in.z : io.grad_y));
  if (from.data != nullptr) {
    prefetch(from.at(token + t, column));
  }
}

template <int kStates>
__device__ __forceinline__ void load_saved(const float* from, int channel, int state, int channels,
                                           int states, float (&h)[kStates]) {
#pragma unroll
  for (int j = 0; j < kStates; ++j) {
    h[j] = channel < channels && state + j < states
               ? from[static_cast<std::int64_t>(channel) * states + state + j]
               : 0.0F;
  }
}

/// One token forward: the decays and the state after it.
template <int kStates, int kGroups>
__device__ __forceinline__ void scan_token(const Shared<kStates, kGroups>& shared,
                                           const Place<kStates, kGroups>& at, int t,
                                           const float (&a)[kStates], const float (&h)[kStates],
                                           float (&decay)[kStates], float (&after)[kStates]) {
  const float2 step = shared.steps[t][at.channel];
  const float restart = shared.restarts[t];
  float b[kStates];
  load_states(&shared.b[t][at.state], b);
#pragma unroll
  for (int j = 0; j < kStates; ++j) {
    decay[j] = exp2_fast(fmaf(step.x, a[j], restart));
    after[j] = fmaf(decay[j], h[j], step.y * b[j]);
  }
}

}  // namespace zt::kernels::scan
