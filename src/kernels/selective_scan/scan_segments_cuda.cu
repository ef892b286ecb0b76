#include "kernels/selective_scan/scan_segments.cuh"

#include "kernels/selective_scan/scan_cuda.cuh"

namespace zt::kernels::scan {
namespace {

constexpr int kTile = 32;  ///< tokens in shared memory at a time

/// Either direction: the states that a segment makes from zero, driven by u through b, or the
/// adjoints that it makes from zero, driven by grad_y through c.
template <typename T>
struct Segments {
  Inputs<T> in;
  Rows<const T> drive;    ///< u; grad_y
  Rows<const T> columns;  ///< b; c
  Handover to;
  int count, tokens;  ///< segments of a row, tokens of a segment
};

/// A tile in shared memory: delta and its product with u, or delta and the gradient of the ungated
/// y; b or c.
template <int kStates, int kGroups>
struct Tile {
  using At = Place<kStates, kGroups>;
  float2 steps[kTile][At::kChannels];
  float columns[kTile][At::kColumns];
  float restarts[kTile];  ///< see restart_exponent
};

/// A thread's elements of a tile on their way to shared memory.
template <typename T, bool kReverse, int kStates, int kGroups>
struct Fetched {
  using At = Place<kStates, kGroups>;
  static constexpr int kTurns = kTile / kGroups;
  static constexpr int kColumnTurns = kTile * At::kColumns / kThreads;
  T delta[kTurns], drive[kTurns], gate[kReverse ? kTurns : 1], columns[kColumnTurns];
  float restart;

  /// Loads are not conditional (a token or column inside stands in), so that all are under way
  /// together.
  __device__ __forceinline__ void load(const Segments<T>& io, int token, int count, int column) {
    const Inputs<T>& in = io.in;
    const int own = static_cast<int>(threadIdx.x) / At::kChannels;
    const int safe = column < in.channels ? column : 0;
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
      const int from = token + min(turn * kGroups + own, count - 1);
      delta[turn] = *in.delta.at(from, safe);
      drive[turn] = *io.drive.at(from, safe);
      if constexpr (kReverse) {
        gate[turn] = *in.z.at(from, safe);
      }
    }
#pragma unroll
    for (int turn = 0; turn < kColumnTurns; ++turn) {
      const int i = turn * kThreads + static_cast<int>(threadIdx.x);
      const int n = i % At::kColumns;
      columns[turn] =
          *io.columns.at(token + min(i / At::kColumns, count - 1), n < in.states ? n : 0);
    }
    const int t = static_cast<int>(threadIdx.x);
    restart = restart_exponent(in.positions, token + t, t < min(kTile, count));
  }

  /// Zeros after the last token, channel and state.
  __device__ __forceinline__ void store(Tile<kStates, kGroups>& tile, const Inputs<T>& in,
                                        int count, int column, float bias) const {
    const int own = static_cast<int>(threadIdx.x) / At::kChannels;
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
      const int t = turn * kGroups + own;
      const float step = softplus(to_float(delta[turn]) + bias);
      float driven = to_float(drive[turn]);
      if constexpr (kReverse) {
        const float z = to_float(gate[turn]);
        driven = in.gated ? driven * (z * sigmoid(z)) : driven;
      } else {
        driven *= step;
      }
      tile.steps[t][static_cast<int>(threadIdx.x) % At::kChannels] =
          column < in.channels && t < count ? float2{step, driven} : float2{0.0F, 0.0F};
    }
#pragma unroll
    for (int turn = 0; turn < kColumnTurns; ++turn) {
      const int i = turn * kThreads + static_cast<int>(threadIdx.x);
      const int t = i / At::kColumns;
      const int n = i % At::kColumns;
      tile.columns[t][n] = t < count && n < in.states ? to_float(columns[turn]) : 0.0F;
    }
    if (threadIdx.x < kTile) {
      tile.restarts[threadIdx.x] = restart;
    }
  }
};

/// Takes `carry` over a tile, forward or backward, and adds up delta.
template <bool kReverse, int kStates, int kGroups>
__device__ __forceinline__ void scan_tile(const Tile<kStates, kGroups>& tile,
                                          const Place<kStates, kGroups>& at,
                                          const float (&a)[kStates], float (&carry)[kStates],
                                          float& total) {
#pragma unroll 4
  for (int i = 0; i < kTile; ++i) {
    const int t = kReverse ? kTile - 1 - i : i;
    const float2 step = tile.steps[t][at.channel];
    const float restart = tile.restarts[t];
    float column[kStates];
    load_states(&tile.columns[t][at.state], column);
#pragma unroll
    for (int j = 0; j < kStates; ++j) {
      const float decay = exp2_fast(fmaf(step.x, a[j], restart));
      if constexpr (kReverse) {
        carry[j] = fmaf(column[j], step.y, carry[j]) * decay;
      } else {
        carry[j] = fmaf(decay, carry[j], step.y * column[j]);
      }
    }
    total += step.x;
  }
}

/// Whether a document starts at one of `count` tokens; the same in all threads of the block.
__device__ __forceinline__ bool restarts_in(const std::int64_t* positions, int token, int count) {
  if (positions == nullptr) {
    return false;
  }
  int found = 0;
  for (int t = static_cast<int>(threadIdx.x); t < count; t += kThreads) {
    found |= positions[token + t] == 0 ? 1 : 0;
  }
  return __syncthreads_or(found) != 0;
}

/// Grid: blocks of channels x rows x segments that hand on: all but the last, or but the first. The
/// tile to fill is another one than that which slower warps still read, so one barrier is enough.
template <typename T, bool kReverse, int kStates, int kGroups>
__global__ void __launch_bounds__(kThreads, kStates == 4 ? (kReverse ? 3 : 4) : 2)
    segment_kernel(Segments<T> io) {
  using At = Place<kStates, kGroups>;
  __shared__ alignas(16) Tile<kStates, kGroups> tiles[2];
  const At at;
  const Inputs<T>& in = io.in;
  const int row = static_cast<int>(blockIdx.y);
  const int segment = static_cast<int>(blockIdx.z) + (kReverse ? 1 : 0);
  const int first_channel = static_cast<int>(blockIdx.x) * At::kChannels;
  const int channel = first_channel + at.channel;
  const int column = first_channel + static_cast<int>(threadIdx.x) % At::kChannels;
  const float bias =
      column < in.channels && in.bias.data != nullptr ? parameter_at(in.bias, column) : 0.0F;
  float a[kStates];
  load_decays(in.a_log, channel, in.channels, at.state, in.states, a);
  const int begin = row * in.sequence + segment * io.tokens;
  const int count = min(io.tokens, in.sequence - segment * io.tokens);
  const int turns = (count + kTile - 1) / kTile;
  const auto first_of = [&](int turn) { return kTile * (kReverse ? turns - 1 - turn : turn); };
  float carry[kStates] = {};
  float total = 0.0F;
  Fetched<T, kReverse, kStates, kGroups> fetched;
  fetched.load(io, begin + first_of(0), count - first_of(0), column);
  for (int turn = 0; turn < turns; ++turn) {
    auto& tile = tiles[turn % 2];
    fetched.store(tile, in, count - first_of(turn), column, bias);
    __syncthreads();
    if (turn + 1 < turns) {
      fetched.load(io, begin + first_of(turn + 1), count - first_of(turn + 1), column);
    }
    scan_tile<kReverse>(tile, at, a, carry, total);
  }
  const bool restarts = restarts_in(in.positions, begin, count);
  if (channel >= in.channels) {
    return;
  }
  const std::int64_t place =
      (static_cast<std::int64_t>(row) * io.count + segment) * in.channels + channel;
#pragma unroll
  for (int j = 0; j < kStates; ++j) {
    if (at.state + j < in.states) {
      io.to.carries[place * in.states + at.state + j] = carry[j];
    }
  }
  if (at.group == 0) {
    io.to.steps[place] = restarts ? -1.0F : total;
  }
}

/// Turns what each segment makes from zero into what it starts from: carry = local + decay carry,
/// in the order of the segments or against it. Grid: 256 of [D x N] x rows.
template <bool kReverse>
__global__ void __launch_bounds__(kThreads)
    carry_kernel(Parameter a_log, const float* initial, Handover at, int segments, int channels,
                 int states) {
  constexpr int kAhead = 8;  ///< segments whose loads are under way together
  const std::int64_t size = static_cast<std::int64_t>(channels) * states;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= size) {
    return;
  }
  const std::int64_t row = blockIdx.y;
  const float a = -kLog2E * expf(parameter_at(a_log, i));
  float* carries = at.carries + row * segments * size + i;
  const float* steps = at.steps + row * segments * channels + i / states;
  float carry = initial != nullptr ? initial[row * size + i] : 0.0F;
  for (int first = 0; first < segments; first += kAhead) {
    float local[kAhead], sum[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const int segment = kReverse ? segments - 1 - first - k : first + k;
      const bool hands_on = first + k + 1 < segments;
      local[k] = hands_on ? carries[segment * size] : 0.0F;
      sum[k] = hands_on ? steps[static_cast<std::int64_t>(segment) * channels] : 0.0F;
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const int segment = kReverse ? segments - 1 - first - k : first + k;
      if (first + k < segments) {
        carries[segment * size] = carry;
        carry = sum[k] < 0.0F ? local[k] : fmaf(exp2_fast(sum[k] * a), carry, local[k]);
      }
    }
  }
}

template <bool kReverse>
void carry(const ScanInputs& in, const TokenMatrix& drive, const TokenMatrix& columns,
           const View& initial, const ScanShape& shape, const Handover& to, void* stream) {
  constexpr const char* kName = kReverse ? "selective_scan_backward" : "selective_scan_forward";
  const ScanPlan plan = scan_plan(shape);
  const auto rows = static_cast<unsigned>(shape.batch);
  dispatch_float(in.u.view.dtype, kName, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const Segments<T> at{inputs_of<T>(in, shape),
                         rows_of<const T>(drive, shape.channels),
                         rows_of<const T>(columns, shape.states),
                         to,
                         static_cast<int>(plan.segments),
                         static_cast<int>(plan.segment_chunks * kScanChunk)};
    dispatch_states(shape, [&](auto states, auto groups) {
      launch_kernel(
          kName, segment_kernel<T, kReverse, states.value, groups.value>,
          dim3(static_cast<unsigned>(plan.blocks), rows, static_cast<unsigned>(plan.segments - 1)),
          dim3(kThreads), 0, stream, at);
    });
  });
  launch_kernel(
      kName, carry_kernel<kReverse>,
      dim3(static_cast<unsigned>(ceil_div(shape.channels * shape.states, kThreads)), rows),
      dim3(kThreads), 0, stream, parameter_of(in.a_log),
      initial.numel > 0 ? initial.as<float>() : nullptr, to, static_cast<int>(plan.segments),
      static_cast<int>(shape.channels), static_cast<int>(shape.states));
}

}  // namespace

void carry_states(const ScanInputs& in, const View& initial, const ScanShape& shape,
                  const Handover& to, void* stream) {
  carry<false>(in, in.u, in.b, initial, shape, to, stream);
}

void carry_adjoints(const ScanInputs& in, const TokenMatrix& grad_y, const ScanShape& shape,
                    const Handover& to, void* stream) {
  carry<true>(in, grad_y, in.c, View{}, shape, to, stream);
}

}  // namespace zt::kernels::scan
