#include "kernels/column_sums.cuh"
#include "kernels/selective_scan/scan_chunk.cuh"
#include "kernels/selective_scan/scan_segments.cuh"

namespace zt::kernels {
namespace {

using namespace scan;

/// What a thread carries from the last token to the first.
template <int kStates>
struct Carried {
  float a[kStates];                ///< A log2(e)
  float state[kStates] = {};       ///< gradient that reaches h_t from later tokens
  float grad_a[kStates] = {};      ///< sum over tokens of g decay h delta
  float skip = 0.0F, bias = 0.0F;  ///< sums of this thread's column
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
        const float kept = g * (decay[i][j] * h);
        sum[k] = fmaf(c[j], after[i][j], sum[k]);
        share_c[j] = grad * after[i][j];
        share_b[j] = g * step.y;
        through_b[k] = fmaf(g, b[j], through_b[k]);
        through_decay[k] = fmaf(kept, carried.a[j], through_decay[k]);
        carried.grad_a[j] = fmaf(kept, step.x, carried.grad_a[j]);
        carried.state[j] = g * decay[i][j];
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

/// grad_u, grad_delta, grad_z and y of one element, from the sums over states. Token `t` of the
/// chunk, `i` of the piece.
template <typename T, int kStates, int kGroups>
__device__ __forceinline__ void store_element(const Shared<kStates, kGroups>& shared,
                                              const Backward<T>& io, int token, int column, int t,
                                              int i, float skip, float bias, const Element& at,
                                              Carried<kStates>& carried) {
  const int own = static_cast<int>(threadIdx.x) % Place<kStates, kGroups>::kChannels;
  const float through_b = shared.sums[0][i][own];
  const float through_decay = kLn2 * shared.sums[1][i][own];
  const float grad = shared.grad[t][own];
  const float grad_u = fmaf(shared.steps[t][own].x, through_b, skip * grad);
  const float grad_delta = fmaf(through_b, at.u, through_decay) * sigmoid(at.raw + bias);
  float y = fmaf(skip, at.u, shared.sums[2][i][own]);
  carried.skip = fmaf(grad, at.u, carried.skip);
  carried.bias += grad_delta;
  *io.grad_u.at(token, column) = from_float<T>(grad_u);
  *io.grad_delta.at(token, column) = from_float<T>(grad_delta);
  if (io.in.gated) {
    const float s = sigmoid(at.z);
    const float open = at.z * s;
    *io.grad_z.at(token, column) = from_float<T>(at.grad * y * fmaf(open, 1.0F - s, s));
    y *= open;
  }
  if (io.y.data != nullptr) {
    *io.y.at(token, column) = from_float<T>(y);
  }
}

/// One piece: forward from `before`, backward, then what the block writes of it.
template <typename T, int kStates, int kGroups>
__device__ __forceinline__ void run_piece(Shared<kStates, kGroups>& shared,
                                          const Place<kStates, kGroups>& at, const Backward<T>& io,
                                          int token, int count, int first, int column, float skip,
                                          float bias, const float (&before)[kStates],
                                          Carried<kStates>& carried) {
  constexpr int kTokens = kPiece<kStates>;
  constexpr int kItems = kTokens > kGroups ? kTokens / kGroups : 1;
  constexpr bool kExact = sizeof(T) == 4;
  const int own = static_cast<int>(threadIdx.x) / Place<kStates, kGroups>::kChannels;
  const bool valid = column < io.in.channels && own < kTokens;
  const Column<T> from(io, token, valid ? column : 0);
  Element elements[kItems];
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    elements[k] = from.load(io, min(first + own + k * kGroups, count - 1));
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
    const int i = own + k * kGroups;
    if (valid && first + i < count) {
      store_element(shared, io, token + first + i, column, first + i, i, skip, bias, elements[k],
                    carried);
    }
  }
}

/// The block's sums over its tokens: [row, segment][D*N | D | D].
template <typename T, int kStates, int kGroups>
__device__ __forceinline__ void store_channel_sums(Shared<kStates, kGroups>& shared,
                                                   const Place<kStates, kGroups>& at,
                                                   const Backward<T>& io, int channel, int column,
                                                   const Carried<kStates>& carried) {
  const std::int64_t channels = io.in.channels;
  const std::int64_t states = io.in.states;
  float* to = io.channel_sums + part_of_block() * channels * (states + 2);
  if (channel < channels) {
#pragma unroll
    for (int j = 0; j < kStates; ++j) {
      if (at.state + j < states) {
        to[channel * states + at.state + j] = carried.grad_a[j] * (kLn2 * carried.a[j]);
      }
    }
  }
  constexpr int kChannels = Place<kStates, kGroups>::kChannels;
  auto* sums = &shared.steps[0][0];
  sums[threadIdx.x] = {carried.skip, carried.bias};
  __syncthreads();
  if (threadIdx.x < kChannels && column < channels) {
    float2 total{0.0F, 0.0F};
#pragma unroll
    for (int k = 0; k < kGroups; ++k) {
      const float2 part = sums[k * kChannels + static_cast<int>(threadIdx.x)];
      total.x += part.x;
      total.y += part.y;
    }
    to[channels * states + column] = total.x;
    to[channels * (states + 1) + column] = total.y;
  }
}

/// Grid: blocks of channels x rows x segments. Chunks of a segment from last to first: the states
/// before each piece, from the chunk's saved one; then piece after piece from the last on.
template <typename T, int kStates, int kGroups>
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
  const int column = first_channel + static_cast<int>(threadIdx.x) % At::kChannels;
  const bool valid = column < in.channels;
  const float skip = valid ? parameter_at(in.skip, column) : 0.0F;
  const float bias = valid && in.bias.data != nullptr ? parameter_at(in.bias, column) : 0.0F;
  Carried<kStates> carried;
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
    load_chunk<T>(shared, io, token, count, column, bias);
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
      run_piece(shared, at, io, token, count, piece * kTokens, column, skip, bias, h, carried);
    }
  }
  __syncthreads();
  store_channel_sums(shared, at, io, channel, column, carried);
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

template <typename T, int kStates, int kGroups>
void launch(const Backward<T>& io, const ScanShape& shape, const ScanPlan& plan, void* stream) {
  constexpr std::size_t kBytes = sizeof(Shared<kStates, kGroups>);
  const auto kernel = backward_kernel<T, kStates, kGroups>;
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
    dispatch_states(shape, [&](auto states, auto groups) {
      launch<T, states.value, groups.value>(at, shape, plan, stream);
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
