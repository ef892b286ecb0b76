#include "kernels/column_sums.cuh"
#include "kernels/selective_scan/scan_chunk.cuh"
#include "kernels/selective_scan/scan_segments.cuh"

namespace zt::kernels {
namespace {

using namespace scan;

/// What a thread carries from the last token to the first.
template <int kStates>
struct Carried {
  float a[kStates];            ///< A log2(e)
  float state[kStates] = {};   ///< gradient that reaches h_t from later tokens
  float grad_a[kStates] = {};  ///< sum over tokens of g decay h delta
};

/// Sums over tokens of a thread's columns.
template <int kWidth>
struct ColumnSums {
  float skip[kWidth] = {}, bias[kWidth] = {};
};

/// The adjoint of a piece, whose states before it and after each token are in registers.
template <bool kExact, int kStates, int kGroups>
__device__ __forceinline__ void reverse_piece(Shared<kStates, kGroups>& shared,
                                              const Place<kStates, kGroups>& at, int first,
                                              const float (&before)[kStates],
                                              const float (&decay)[kPiece<kStates>][kStates],
                                              const float (&after)[kPiece<kStates>][kStates],
                                              Carried<kStates>& carried) {
  constexpr int kTokens = kPiece<kStates>;
  constexpr int kBatch = kGroups < 4 ? kGroups : 4;
  const bool odd = (at.lane / 4) % 2 != 0;
  const int set = at.warp * Place<kStates, kGroups>::kSub + at.sub;
#pragma unroll
  for (int last = kTokens - kBatch; last >= 0; last -= kBatch) {
    float through_b[kBatch], through_decay[kBatch], sum[kBatch];
#pragma unroll
    for (int k = kBatch - 1; k >= 0; --k) {
      const int i = last + k;
      const int t = first + i;
      const float2 step = shared.steps[t][at.channel];
      const float grad = shared.grad[t][at.channel];
      float b[kStates], c[kStates], share_b[kStates], share_c[kStates];
      load_states(&shared.b[t][at.state], b);
      load_states(&shared.c[t][at.state], c);
      through_b[k] = 0.0F;
      through_decay[k] = 0.0F;
      sum[k] = 0.0F;
#pragma unroll
      for (int j = 0; j < kStates; ++j) {
        const float h = i > 0 ? after[i > 0 ? i - 1 : 0][j] : before[j];
        const float g = fmaf(c[j], grad, carried.state[j]);
        carried.state[j] = g * decay[i][j];
        const float kept = carried.state[j] * h;
        sum[k] = fmaf(c[j], after[i][j], sum[k]);
        share_c[j] = grad * after[i][j];
        share_b[j] = g * step.y;
        through_b[k] = fmaf(g, b[j], through_b[k]);
        through_decay[k] = fmaf(kept, carried.a[j], through_decay[k]);
        carried.grad_a[j] = fmaf(kept, step.x, carried.grad_a[j]);
      }
#pragma unroll
      for (int j = 0; j < kStates; j += 4) {
        const float quad_b[4] = {share_b[j], share_b[j + 1], share_b[j + 2], share_b[j + 3]};
        const float quad_c[4] = {share_c[j], share_c[j + 1], share_c[j + 2], share_c[j + 3]};
        float sum_b[4], sum_c[4];
        sum_quads<kExact>(quad_b, odd, sum_b);
        sum_quads<kExact>(quad_c, odd, sum_c);
        const int column = set * Place<kStates, kGroups>::kColumns + at.state + j;
        if (at.quad == j / 2) {
          store_states(&shared.shares[i][0][column], sum_b);
        }
        if (at.quad == j / 2 + 1) {
          store_states(&shared.shares[i][1][column], sum_c);
        }
      }
    }
    const float all_b = sum_groups<kGroups, kBatch>(through_b, at.group);
    const float all_decay = sum_groups<kGroups, kBatch>(through_decay, at.group);
    const float all = sum_groups<kGroups, kBatch>(sum, at.group);
    if (at.group < kBatch) {
      shared.sums[0][last + at.group][at.channel] = all_b;
      shared.sums[1][last + at.group][at.channel] = all_decay;
      shared.sums[2][last + at.group][at.channel] = all;
    }
  }
}

/// The block's share of grad_b and grad_c of a piece.
template <int kStates, int kGroups>
__device__ __forceinline__ void store_shares(const Shared<kStates, kGroups>& shared, int count,
                                             int states, float* to) {
  using Block = Shared<kStates, kGroups>;
  constexpr int kColumns = Block::At::kColumns;
  for (int i = static_cast<int>(threadIdx.x); i < Block::kTokens * 2 * kColumns; i += kThreads) {
    const int n = i % kColumns;
    const int which = i / kColumns % 2;
    const int t = i / kColumns / 2;
    float sum = 0.0F;
#pragma unroll
    for (int set = 0; set < Block::kShares; ++set) {
      sum += shared.shares[t][which][set * kColumns + n];
    }
    if (t < count && n < states) {
      to[(t * 2 + which) * states + n] = sum;
    }
  }
}

/// grad_u, grad_delta, grad_z and y of neighbouring elements, from the sums over states. Token `t`
/// of the chunk, `i` of the piece.
template <typename T, int kStates, int kGroups, int kWidth>
__device__ __forceinline__ void store_elements(const Shared<kStates, kGroups>& shared,
                                               const Backward<T>& io, int token, int t, int i,
                                               const Share<kStates, kGroups, kWidth>& own,
                                               const Element (&elements)[kWidth],
                                               ColumnSums<kWidth>& sums) {
  Pack<T, kWidth> u, delta, z, y;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    const Element& at = elements[k];
    const int column = own.at + k;
    const float through_b = shared.sums[0][i][column];
    const float through_decay = kLn2 * shared.sums[1][i][column];
    const float grad = shared.grad[t][column];
    const float grad_delta = fmaf(through_b, at.u, through_decay) * sigmoid(at.raw + own.bias[k]);
    float out = fmaf(own.skip[k], at.u, shared.sums[2][i][column]);
    sums.skip[k] = fmaf(grad, at.u, sums.skip[k]);
    sums.bias[k] += grad_delta;
    u.at[k] = from_float<T>(fmaf(shared.steps[t][column].x, through_b, own.skip[k] * grad));
    delta.at[k] = from_float<T>(grad_delta);
    if (io.in.gated) {
      const float s = sigmoid(at.z);
      const float open = at.z * s;
      z.at[k] = from_float<T>(at.grad * out * fmaf(open, 1.0F - s, s));
      out *= open;
    }
    y.at[k] = from_float<T>(out);
  }
  store_pack(io.grad_u.at(token, own.column), u);
  store_pack(io.grad_delta.at(token, own.column), delta);
  if (io.in.gated) {
    store_pack(io.grad_z.at(token, own.column), z);
  }
  if (io.y.data != nullptr) {
    store_pack(io.y.at(token, own.column), y);
  }
}

/// One piece: forward from `before`, backward, then what the block writes of it.
template <typename T, int kStates, int kGroups, int kWidth>
__device__ __forceinline__ void run_piece(Shared<kStates, kGroups>& shared,
                                          const Place<kStates, kGroups>& at, const Backward<T>& io,
                                          int token, int count, int first,
                                          const Share<kStates, kGroups, kWidth>& own,
                                          const float (&before)[kStates], Carried<kStates>& carried,
                                          ColumnSums<kWidth>& sums) {
  constexpr int kTokens = kPiece<kStates>;
  constexpr int kRows = Share<kStates, kGroups, kWidth>::kRows;
  constexpr int kItems = kTokens > kRows ? kTokens / kRows : 1;
  constexpr bool kExact = sizeof(T) == 4;
  const bool valid = own.valid && own.row < kTokens;
  const Column<T> from(io, token, valid ? own.column : 0);
  Element elements[kItems][kWidth];
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    from.load(io, min(first + own.row + k * kRows, count - 1), elements[k]);
  }
  float decay[kTokens][kStates], after[kTokens][kStates];
#pragma unroll
  for (int i = 0; i < kTokens; ++i) {
    if (i == 0) {
      scan_token(shared, at, first, carried.a, before, decay[0], after[0]);
    } else {
      scan_token(shared, at, first + i, carried.a, after[i > 0 ? i - 1 : 0], decay[i], after[i]);
    }
  }
  __syncthreads();  // the sums of the piece before are read
  reverse_piece<kExact>(shared, at, first, before, decay, after, carried);
  __syncthreads();
  const std::int64_t tokens = static_cast<std::int64_t>(gridDim.y) * io.in.sequence;
  store_shares(shared, count - first, io.in.states,
               io.token_sums + (blockIdx.x * tokens + token + first) * 2 * io.in.states);
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    const int i = own.row + k * kRows;
    if (valid && first + i < count) {
      store_elements(shared, io, token + first + i, first + i, i, own, elements[k], sums);
    }
  }
}

/// The block's sums over its tokens: [row, segment][D*N | D | D].
template <typename T, int kStates, int kGroups, int kWidth>
__device__ __forceinline__ void store_channel_sums(Shared<kStates, kGroups>& shared,
                                                   const Place<kStates, kGroups>& at,
                                                   const Backward<T>& io, int first_channel,
                                                   const Share<kStates, kGroups, kWidth>& own,
                                                   const Carried<kStates>& carried,
                                                   const ColumnSums<kWidth>& sums) {
  const std::int64_t channels = io.in.channels;
  const std::int64_t states = io.in.states;
  const int channel = first_channel + at.channel;
  float* to = io.channel_sums + part_of_block() * channels * (states + 2);
  if (channel < channels) {
#pragma unroll
    for (int j = 0; j < kStates; ++j) {
      if (at.state + j < states) {
        to[channel * states + at.state + j] = carried.grad_a[j] * (kLn2 * carried.a[j]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    shared.steps[own.row][own.at + k] = {sums.skip[k], sums.bias[k]};
  }
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.x);
  const int column = first_channel + thread;
  if (thread < Place<kStates, kGroups>::kChannels && column < channels) {
    float2 total{0.0F, 0.0F};
#pragma unroll
    for (int row = 0; row < Share<kStates, kGroups, kWidth>::kRows; ++row) {
      const float2 part = shared.steps[row][thread];
      total.x += part.x;
      total.y += part.y;
    }
    to[channels * states + column] = total.x;
    to[channels * (states + 1) + column] = total.y;
  }
}

/// Grid: blocks of channels x rows x segments. Chunks of a segment from last to first: the states
/// before each piece, from the chunk's saved one; then piece after piece from the last on.
template <typename T, int kStates, int kGroups, int kWidth>
__global__ void __launch_bounds__(kThreads, kStates == 4 && sizeof(T) == 2 ? 2 : 1)
    backward_kernel(Backward<T> io) {
  extern __shared__ float4 dynamic_shared[];
  auto& shared = *reinterpret_cast<Shared<kStates, kGroups>*>(dynamic_shared);
  using At = Place<kStates, kGroups>;
  constexpr int kTokens = kPiece<kStates>;
  const At at;
  const Inputs<T>& in = io.in;
  const int row = static_cast<int>(blockIdx.y);
  const int first_channel = static_cast<int>(blockIdx.x) * At::kChannels;
  const int channel = first_channel + at.channel;
  const Share<kStates, kGroups, kWidth> own(in, first_channel);
  Carried<kStates> carried;
  ColumnSums<kWidth> sums;
  load_decays(in.a_log, channel, in.channels, at.state, in.states, carried.a);
  if (io.carries != nullptr) {
    load_saved(io.carries + part_of_block() * in.channels * in.states, channel, at.state,
               in.channels, in.states, carried.state);
  }
  const int begin = static_cast<int>(blockIdx.z) * io.segment;
  for (int chunk = min(begin + io.segment, io.chunks) - 1; chunk >= begin; --chunk) {
    const int token = row * in.sequence + chunk * kChunk;
    const int count = min(kChunk, in.sequence - chunk * kChunk);
    const float* saved =
        io.states + (static_cast<std::int64_t>(row) * io.chunks + chunk) * in.channels * in.states;
    __syncthreads();  // the chunk before is done
    load_chunk(shared, io, token, count, own);
    if (chunk > 0) {
      prefetch_chunk(io, token - kChunk, first_channel);
    }
    float h[kStates];
    load_saved(saved, channel, at.state, in.channels, in.states, h);
    __syncthreads();
    const int pieces = (count + kTokens - 1) / kTokens;
    for (int piece = 0; piece + 1 < pieces; ++piece) {
      if (piece > 0) {
        store_states(shared.before[piece - 1][threadIdx.x], h);
      }
#pragma unroll
      for (int i = 0; i < kTokens; ++i) {
        float decay[kStates];
        scan_token(shared, at, piece * kTokens + i, carried.a, h, decay, h);
      }
    }
    for (int piece = pieces - 1; piece >= 0; --piece) {
      if (piece == 0 && pieces > 1) {
        load_saved(saved, channel, at.state, in.channels, in.states, h);
      } else if (piece + 1 < pieces) {
        load_states(shared.before[piece - 1][threadIdx.x], h);
      }
      run_piece(shared, at, io, token, count, piece * kTokens, own, h, carried, sums);
    }
  }
  __syncthreads();
  store_channel_sums(shared, at, io, first_channel, own, carried, sums);
}

/// grad_b and grad_c: the blocks' shares in block order, rounded once.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    token_sums_kernel(const float* shares, std::int64_t blocks, std::int64_t tokens, int states,
                      Rows<T> grad_b, Rows<T> grad_c) {
  const std::int64_t size = tokens * 2 * states;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= size) {
    return;
  }
  float sum = 0.0F;
#pragma unroll 8
  for (std::int64_t block = 0; block < blocks; ++block) {
    sum += shares[block * size + i];
  }
  const std::int64_t token = i / (2 * states);
  const int n = static_cast<int>(i % (2 * states));
  if (n < states) {
    *grad_b.at(static_cast<int>(token), n) = from_float<T>(sum);
  } else {
    *grad_c.at(static_cast<int>(token), n - states) = from_float<T>(sum);
  }
}

template <int kStates, int kGroups, int kWidth, typename T>
void launch(const Backward<T>& io, const ScanShape& shape, const ScanPlan& plan, void* stream) {
  constexpr std::size_t kBytes = sizeof(Shared<kStates, kGroups>);
  const auto kernel = backward_kernel<T, kStates, kGroups, kWidth>;
  allow_shared("selective_scan_backward", kernel, kBytes);
  launch_kernel("selective_scan_backward", kernel,
                dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(shape.batch),
                     static_cast<unsigned>(plan.segments)),
                dim3(kThreads), kBytes, stream, io);
}

/// grad += the column sums of `rows` rows that lie `stride` elements apart.
void add_rows(const float* sums, std::int64_t rows, std::int64_t stride, const View& grad,
              void* stream) {
  if (grad.numel == 0) {
    return;
  }
  dispatch_float(grad.dtype, "selective_scan_backward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    launch_kernel("selective_scan_backward", column_sums_kernel<T>,
                  dim3(static_cast<unsigned>(ceil_div(grad.numel, kWarp))), dim3(kWarp, kSumLanes),
                  0, stream, sums, rows, stride, grad.numel, grad.as<T>(), grad.as<T>(),
                  grad.numel);
  });
}

}  // namespace

void selective_scan_backward_cuda(const ScanBackward& io, const ScanShape& shape, void* stream) {
  const ScanPlan plan = scan_plan(shape);
  const ScanScratch scratch = scan_scratch(shape);
  auto* workspace = io.workspace.as<float>();
  float* channel_sums = workspace + scratch.channel_sums;
  float* carries = nullptr;
  if (plan.segments > 1) {
    carries = workspace + scratch.carries;
    carry_adjoints(io.in, io.grad_y, shape, {carries, workspace + scratch.steps}, stream);
  }
  dispatch_float(io.in.u.view.dtype, "selective_scan_backward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const auto optional = [&](const TokenMatrix& matrix) {
      return matrix.empty() ? Rows<T>{nullptr, 0} : rows_of<T>(matrix, shape.channels);
    };
    const Backward<T> at{inputs_of<T>(io.in, shape),
                         io.states.as<float>(),
                         rows_of<const T>(io.grad_y, shape.channels),
                         rows_of<T>(io.grads.u, shape.channels),
                         rows_of<T>(io.grads.delta, shape.channels),
                         optional(io.grads.z),
                         optional(io.y),
                         workspace + scratch.token_sums,
                         channel_sums,
                         carries,
                         static_cast<int>(plan.chunks),
                         static_cast<int>(plan.segment_chunks)};
    const bool paired = shape.channels % 2 == 0 && pairs(at.in.u) && pairs(at.in.delta) &&
                        pairs(at.in.z) && pairs(at.grad_y) && pairs(at.grad_u) &&
                        pairs(at.grad_delta) && pairs(at.grad_z) && pairs(at.y);
    dispatch_states(shape, [&](auto states, auto groups) {
      paired ? launch<states.value, groups.value, 2>(at, shape, plan, stream)
             : launch<states.value, groups.value, 1>(at, shape, plan, stream);
    });
    const std::int64_t tokens = shape.batch * shape.sequence;
    launch_kernel("selective_scan_backward", token_sums_kernel<T>,
                  dim3(static_cast<unsigned>(ceil_div(tokens * 2 * shape.states, kThreads))),
                  dim3(kThreads), 0, stream, at.token_sums, plan.blocks, tokens,
                  static_cast<int>(shape.states), rows_of<T>(io.grads.b, shape.states),
                  rows_of<T>(io.grads.c, shape.states));
  });
  const std::int64_t stride = shape.channels * (shape.states + 2);
  const std::int64_t parts = shape.batch * plan.segments;
  add_rows(channel_sums, parts, stride, io.grads.a_log, stream);
  channel_sums += shape.channels * shape.states;
  add_rows(channel_sums, parts, stride, io.grads.skip, stream);
  add_rows(channel_sums + shape.channels, parts, stride, io.grads.delta_bias, stream);
}

}  // namespace zt::kernels
