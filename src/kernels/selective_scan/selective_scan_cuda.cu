#include "kernels/selective_scan/scan_cuda.cuh"
#include "kernels/selective_scan/scan_segments.cuh"

namespace zt::kernels {
namespace {

using namespace scan;

constexpr int kTile = 32;  ///< tokens in shared memory at a time
static_assert(kScanChunk % kTile == 0, "a state is saved before a tile");

/// Shared memory of a block: delta and delta * u by token and channel, b, c by token and state, and
/// the sums over states. Rows of sums are 8 longer, so that 4 of them lie in different banks.
template <int kStates, int kGroups>
struct Shared {
  using At = Place<kStates, kGroups>;
  static constexpr int kSumPitch = At::kChannels + 8;
  float2 steps[kTile][At::kChannels];
  float b[kTile][At::kColumns], c[kTile][At::kColumns];
  float sums[kTile][kSumPitch];
  float restarts[kTile];  ///< see restart_exponent
};

template <typename T>
struct Forward {
  Inputs<T> in;
  Rows<T> y;
  float* states;         ///< may be null
  const float* initial;  ///< of each segment of each row; may be null
  float* final_state;    ///< may be null
  std::int64_t chunks;
  int segment;  ///< tokens of a segment
};

/// softplus(delta) and its product with u for `count` tokens from `token` on; zeros after them.
template <typename T, int kStates, int kGroups, int kWidth>
__device__ __forceinline__ void load_tile(Shared<kStates, kGroups>& shared, const Inputs<T>& in,
                                          int token, int count,
                                          const Share<kStates, kGroups, kWidth>& own) {
  using At = Place<kStates, kGroups>;
  constexpr int kRows = Share<kStates, kGroups, kWidth>::kRows;
  const T* u_row = in.u.at(token, own.valid ? own.column : 0);
  const T* delta_row = in.delta.at(token, own.valid ? own.column : 0);
#pragma unroll
  for (int turn = 0; turn < kTile / kRows; ++turn) {
    const int t = turn * kRows + own.row;
    const int from = min(t, count - 1);
    const auto u = load_pack<T, kWidth>(in.u.down(u_row, from, in.u.stride));
    const auto delta = load_pack<T, kWidth>(in.delta.down(delta_row, from, in.delta.stride));
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float step = softplus(to_float(delta.at[k]) + own.bias[k]);
      shared.steps[t][own.at + k] =
          own.valid && t < count ? float2{step, step * to_float(u.at[k])} : float2{0.0F, 0.0F};
    }
  }
  load_columns<T, kTile, At::kColumns>(in.b, token, count, in.states, &shared.b[0][0]);
  load_columns<T, kTile, At::kColumns>(in.c, token, count, in.states, &shared.c[0][0]);
  if (threadIdx.x < kTile) {
    const int t = static_cast<int>(threadIdx.x);
    shared.restarts[t] = restart_exponent(in.positions, token + t, t < count);
  }
}

/// Brings the operands of the tile from `token` on nearer: one row of one operand per thread.
template <typename T>
__device__ __forceinline__ void prefetch_tile(const Inputs<T>& in, int token, int count,
                                              int column) {
  const int t = static_cast<int>(threadIdx.x) % kTile;
  const int which = static_cast<int>(threadIdx.x) / kTile;
  if (which < 3 && t < count) {
    const Rows<const T>& from = which == 0 ? in.u : (which == 1 ? in.delta : in.z);
    if (from.data != nullptr) {
      prefetch(from.at(token + t, column));
    }
  }
}

/// Scans a tile; each token's sum over states goes to shared.sums.
template <int kStates, int kGroups>
__device__ __forceinline__ void scan_tile(Shared<kStates, kGroups>& shared,
                                          const Place<kStates, kGroups>& at,
                                          const float (&a)[kStates], float (&h)[kStates]) {
  constexpr int kBatch = kGroups < 4 ? kGroups : 4;
#pragma unroll 4 / kBatch
  for (int first = 0; first < kTile; first += kBatch) {
    float part[kBatch];
#pragma unroll
    for (int k = 0; k < kBatch; ++k) {
      const int t = first + k;
      const float2 step = shared.steps[t][at.channel];
      const float restart = shared.restarts[t];
      float b[kStates], c[kStates];
      load_states(&shared.b[t][at.state], b);
      load_states(&shared.c[t][at.state], c);
      float sum = 0.0F;
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        const float decay = exp2_fast(fmaf(step.x, a[j], restart));
        h[j] = fmaf(decay, h[j], step.y * b[j]);
        sum = fmaf(c[j], h[j], sum);
      }
      part[k] = sum;
    }
    const float sum = sum_groups<kGroups, kBatch>(part, at.group);
    if (at.group < kBatch) {
      shared.sums[first + at.group][at.channel] = sum;
    }
  }
}

/// y of a tile: the skip and the gate.
template <typename T, int kStates, int kGroups, int kWidth>
__device__ __forceinline__ void store_tile(const Shared<kStates, kGroups>& shared,
                                           const Forward<T>& io, int token, int count,
                                           const Share<kStates, kGroups, kWidth>& own) {
  constexpr int kRows = Share<kStates, kGroups, kWidth>::kRows;
  if (!own.valid) {
    return;
  }
  const T* u_row = io.in.u.at(token, own.column);
  const T* z_row = io.in.z.at(token, own.column);
  T* y_row = io.y.at(token, own.column);
#pragma unroll
  for (int turn = 0; turn < kTile / kRows; ++turn) {
    const int t = turn * kRows + own.row;
    const int from = min(t, count - 1);
    const auto u = load_pack<T, kWidth>(io.in.u.down(u_row, from, io.in.u.stride));
    const auto z = load_pack<T, kWidth>(io.in.z.down(z_row, from, io.in.z.stride));
    Pack<T, kWidth> out;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float y = fmaf(own.skip[k], to_float(u.at[k]), shared.sums[t][own.at + k]);
      const float gate = to_float(z.at[k]);
      out.at[k] = from_float<T>(io.in.gated ? y * (gate * sigmoid(gate)) : y);
    }
    if (t < count) {
      store_pack(io.y.down(y_row, t, io.y.stride), out);
    }
  }
}

template <int kStates>
__device__ __forceinline__ void save_state(float* to, int channel, int state, int channels,
                                           int states, const float (&h)[kStates]) {
  if (channel >= channels) {
    return;
  }
#pragma unroll
  for (int j = 0; j < kStates; ++j) {
    if (state + j < states) {
      to[static_cast<std::int64_t>(channel) * states + state + j] = h[j];
    }
  }
}

/// Grid: blocks of channels x rows x segments. A block scans one segment of its channels.
template <typename T, int kStates, int kGroups, int kWidth>
__global__ void __launch_bounds__(kThreads, kStates == 4 ? 4 : 2) forward_kernel(Forward<T> io) {
  extern __shared__ float4 dynamic_shared[];
  auto& shared = *reinterpret_cast<Shared<kStates, kGroups>*>(dynamic_shared);
  using At = Place<kStates, kGroups>;
  const At at;
  const Inputs<T>& in = io.in;
  const int row = static_cast<int>(blockIdx.y);
  const int begin = static_cast<int>(blockIdx.z) * io.segment;
  const int end = begin + min(io.segment, in.sequence - begin);
  const int first_channel = static_cast<int>(blockIdx.x) * At::kChannels;
  const int channel = first_channel + at.channel;
  const Share<kStates, kGroups, kWidth> own(in, first_channel);
  float a[kStates];
  load_decays(in.a_log, channel, in.channels, at.state, in.states, a);
  float h[kStates] = {};
  const std::int64_t row_states = static_cast<std::int64_t>(in.channels) * in.states;
  if (io.initial != nullptr && channel < in.channels) {
    const float* from =
        io.initial + part_of_block() * row_states + static_cast<std::int64_t>(channel) * in.states;
#pragma unroll
    for (int j = 0; j < kStates; ++j) {
      h[j] = at.state + j < in.states ? from[at.state + j] : 0.0F;
    }
  }
  for (int first = begin; first < end; first += kTile) {
    const int token = row * in.sequence + first;
    const int count = min(kTile, in.sequence - first);
    if (io.states != nullptr && first % kScanChunk == 0) {
      save_state(io.states + (row * io.chunks + first / kScanChunk) * row_states, channel, at.state,
                 in.channels, in.states, h);
    }
    load_tile(shared, in, token, count, own);
    prefetch_tile(in, token + kTile, in.sequence - first - kTile, first_channel);
    __syncthreads();
    scan_tile(shared, at, a, h);
    __syncthreads();
    store_tile(shared, io, token, count, own);
  }
  if (io.final_state != nullptr && blockIdx.z + 1 == gridDim.z) {
    save_state(io.final_state + row * row_states, channel, at.state, in.channels, in.states, h);
  }
}

template <int kStates, int kGroups, int kWidth, typename T>
void launch(const Forward<T>& io, const ScanShape& shape, const ScanPlan& plan, void* stream) {
  constexpr std::size_t kBytes = sizeof(Shared<kStates, kGroups>);
  const auto kernel = forward_kernel<T, kStates, kGroups, kWidth>;
  allow_shared("selective_scan_forward", kernel, kBytes);
  launch_kernel("selective_scan_forward", kernel,
                dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(shape.batch),
                     static_cast<unsigned>(plan.segments)),
                dim3(kThreads), kBytes, stream, io);
}

}  // namespace

void selective_scan_forward_cuda(const ScanForward& io, const ScanShape& shape, void* stream) {
  const ScanPlan plan = scan_plan(shape);
  float* carries = nullptr;
  if (plan.segments > 1) {
    carries = io.workspace.as<float>();
    const auto size = shape.batch * plan.segments * shape.channels * shape.states;
    carry_states(io.in, io.initial_state, shape, {carries, carries + size}, stream);
  }
  dispatch_float(io.in.u.view.dtype, "selective_scan_forward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const auto optional = [](const View& view) {
      return view.numel > 0 ? view.as<float>() : nullptr;
    };
    const Forward<T> at{
        inputs_of<T>(io.in, shape),
        rows_of<T>(io.y, shape.channels),
        optional(io.states),
        carries != nullptr ? carries : optional(io.initial_state),
        optional(io.final_state),
        plan.chunks,
        static_cast<int>(std::min(plan.segment_chunks * kScanChunk, shape.sequence))};
    const bool paired = shape.channels % 2 == 0 && pairs(at.in.u) && pairs(at.in.delta) &&
                        pairs(at.in.z) && pairs(at.y);
    dispatch_states(shape, [&](auto states, auto groups) {
      paired ? launch<states.value, groups.value, 2>(at, shape, plan, stream)
             : launch<states.value, groups.value, 1>(at, shape, plan, stream);
    });
  });
}

}  // namespace zt::kernels
