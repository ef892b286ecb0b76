#include "kernels/selective_scan/scan_lanes.h"

namespace zt::kernels {
namespace {

using cpu::floats;
using cpu::kScanTile;
using cpu::ScanBuffers;
using cpu::ScanTile;

/// One call per (row, block of channels): the chunks from last to first; each is scanned forward
/// from its saved state, then backward.
template <typename T>
struct BackwardTasks {
  struct Buffers : ScanBuffers {
    std::vector<float> grad_y, grad_u, grad_delta, grad_z;  ///< tiles
    std::vector<float> carry, sum_a, sum_skip, sum_bias;    ///< over the sequence
    std::vector<float> sum_b, sum_c, token_sums;            ///< of a chunk
    explicit Buffers(const BackwardTasks& tasks)
        : ScanBuffers(tasks.plan.block_channels, tasks.shape.states),
          grad_y(u),
          grad_u(grad_y),
          grad_delta(grad_y),
          grad_z(grad_y),
          carry(block.a),
          sum_a(carry),
          sum_skip(block.skip),
          sum_bias(sum_skip),
          sum_b(floats(kScanTile * tasks.shape.states)),
          sum_c(sum_b),
          token_sums(b) {}
  };

  ScanBackward io;
  ScanShape shape;
  ScanPlan plan;
  ScanScratch scratch;
  ScanLoops loops;
  Buffers* buffers = nullptr;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    Buffers& at = *buffers;
    for (std::int64_t task = begin; task < end; ++task) {
      const auto row = task / plan.blocks, block = task % plan.blocks;
      const auto channel = block * plan.block_channels;
      const auto width = std::min(plan.block_channels, shape.channels - channel);
      at.block.load(io.in, shape.states, channel, width);
      for (auto* sums : {&at.carry, &at.sum_a, &at.sum_skip, &at.sum_bias, &at.h}) {
        std::fill(sums->begin(), sums->end(), 0.0F);
      }
      for (std::int64_t chunk = plan.chunks; chunk-- > 0;) {
        const auto first = chunk * kScanChunk;
        const ScanTile tile{row * shape.sequence + first,
                            std::min(kScanChunk, shape.sequence - first), channel, width};
        const auto before = (row * plan.chunks + chunk) * shape.channels * shape.states;
        cpu::load_states(io.states.as<float>() + before, channel, width, shape.states, at.h.data());
        at.template load<T>(io.in, shape, tile);
        cpu::load_tile<T>(io.grad_y, shape.channels, tile, at.grad_y.data());
        scan_chunk(tile);
        store(tile);
        store_token_sums(tile, block);
      }
      store_channel_sums(row, channel, width);
    }
  }

  [[gnu::always_inline]] void scan_chunk(const ScanTile& tile) const {
    Buffers& at = *buffers;
    const auto states = shape.states;
    const bool gate = !io.in.z.empty();
    std::fill_n(at.sum_b.begin(), tile.count * states * kScanLanes, 0.0F);
    std::fill_n(at.sum_c.begin(), tile.count * states * kScanLanes, 0.0F);
    for (std::int64_t c = 0; c < tile.width; c += kScanLanes) {
      const auto place = c / kScanLanes * kScanTile;
      loops.backward(at.group(tile, states, c, gate),
                     {.y = at.grad_y.data() + place,
                      .u = at.grad_u.data() + place,
                      .delta = at.grad_delta.data() + place,
                      .z = gate ? at.grad_z.data() + place : nullptr,
                      .carry = at.carry.data() + c * states,
                      .a = at.sum_a.data() + c * states,
                      .skip = at.sum_skip.data() + c,
                      .bias = at.sum_bias.data() + c,
                      .b = at.sum_b.data(),
                      .c = at.sum_c.data()});
    }
  }

  [[gnu::always_inline]] void store(const ScanTile& tile) const {
    const Buffers& at = *buffers;
    cpu::store_tile<T>(io.grads.u, shape.channels, tile, at.grad_u.data());
    cpu::store_tile<T>(io.grads.delta, shape.channels, tile, at.grad_delta.data());
    if (!io.in.z.empty()) cpu::store_tile<T>(io.grads.z, shape.channels, tile, at.grad_z.data());
    if (!io.y.empty()) cpu::store_tile<T>(io.y, shape.channels, tile, at.y.data());
  }

  /// The block's share of grad_b and grad_c: [blocks x tokens x 2N].
  [[gnu::always_inline]] void store_token_sums(const ScanTile& tile, std::int64_t block) const {
    Buffers& at = *buffers;
    const auto states = shape.states, tokens = shape.batch * shape.sequence;
    float* to =
        io.workspace.as<float>() + scratch.token_sums + (block * tokens + tile.token) * 2 * states;
    for (const auto* shares : {&at.sum_b, &at.sum_c}) {
      loops.sum_lanes(shares->data(), tile.count * states, at.token_sums.data());
      for (std::int64_t t = 0; t < tile.count; ++t) {
        std::copy_n(at.token_sums.data() + t * states, states, to + t * 2 * states);
      }
      to += states;
    }
  }

  /// The row's share of the parameters' gradients: [B x D*(N + 2)].
  [[gnu::always_inline]] void store_channel_sums(std::int64_t row, std::int64_t channel,
                                                 std::int64_t width) const {
    constexpr float kLn2 = 0.693147180559945309F;
    Buffers& at = *buffers;
    for (std::size_t i = 0; i < at.sum_a.size(); ++i) {
      at.sum_a[i] = at.sum_a[i] * (at.block.a[i] * kLn2);
    }
    float* to =
        io.workspace.as<float>() + scratch.channel_sums + row * shape.channels * (shape.states + 2);
    cpu::store_states(to, channel, width, shape.states, at.sum_a.data());
    to += shape.channels * shape.states + channel;
    std::copy_n(at.sum_skip.begin(), width, to);
    std::copy_n(at.sum_bias.begin(), width, to + shape.channels);
  }
};

/// grad_b, grad_c of tokens [begin, end): the blocks' shares in block order.
template <typename T>
struct TokenSums {
  ScanBackward io;
  ScanShape shape;
  const float* shares;
  std::int64_t blocks;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    const auto states = shape.states;
    const auto size = shape.batch * shape.sequence * 2 * states;
    for (std::int64_t token = begin; token < end; ++token) {
      float sums[2 * kScanMaxStates] = {};
      for (std::int64_t block = 0; block < blocks; ++block) {
        const float* share = shares + block * size + token * 2 * states;
        for (std::int64_t i = 0; i < 2 * states; ++i) sums[i] = sums[i] + share[i];
      }
      T* b = io.grads.b.view.as<T>() + token * io.grads.b.stride_of(states);
      T* c = io.grads.c.view.as<T>() + token * io.grads.c.stride_of(states);
      for (std::int64_t n = 0; n < states; ++n) {
        b[n] = cpu::from_float<T>(sums[n]);
        c[n] = cpu::from_float<T>(sums[states + n]);
      }
    }
  }
};

/// grad[i] += the sum over rows of shares[row * stride + i].
void add_rows(const float* shares, std::int64_t rows, std::int64_t stride, const View& grad) {
  if (grad.numel == 0) return;
  cpu::with_activation(grad.dtype, [&]<typename T>() {
    for (std::int64_t i = 0; i < grad.numel; ++i) {
      float sum = 0.0F;
      for (std::int64_t row = 0; row < rows; ++row) sum += shares[row * stride + i];
      grad.as<T>()[i] = cpu::from_float<T>(cpu::to_float(grad.as<T>()[i]) + sum);
    }
  });
}

}  // namespace

void selective_scan_backward_cpu(const ScanBackward& io, const ScanShape& shape) {
  const ScanPlan plan = scan_plan(shape);
  const ScanScratch scratch = scan_scratch(shape);
  const auto loops = scan_loops(cpu::simd_target());
  const float* workspace = io.workspace.as<float>();
  cpu::with_activation(io.in.u.view.dtype, [&]<typename T>() {
    cpu::run_tasks(BackwardTasks<T>{io, shape, plan, scratch, loops}, shape.batch * plan.blocks);
    cpu::simd_loop(TokenSums<T>{io, shape, workspace + scratch.token_sums, plan.blocks},
                   shape.batch * shape.sequence, kScanChunk);
  });
  const float* sums = workspace + scratch.channel_sums;
  const auto stride = shape.channels * (shape.states + 2);
  add_rows(sums, shape.batch, stride, io.grads.a_log);
  sums += shape.channels * shape.states;
  add_rows(sums, shape.batch, stride, io.grads.skip);
  add_rows(sums + shape.channels, shape.batch, stride, io.grads.delta_bias);
}

}  // namespace zt::kernels
