#include "kernels/cpu/rows.h"
#include "kernels/selective_scan/scan_lanes.h"

namespace zt::kernels {
namespace {

using cpu::kScanLanes;
using cpu::ScanBlock;
using cpu::ScanTile;

std::vector<float> floats(std::int64_t count) {
  return std::vector<float>(static_cast<std::size_t>(count));
}

/// fp32 tiles [kScanChunk x padded] of one task; `grad` becomes the gradient of the ungated y.
struct Tiles {
  std::vector<float> u, raw, z, grad, grad_u, grad_delta, grad_z, y, b, c;
  Tiles(std::int64_t padded, std::int64_t states)
      : u(floats(kScanChunk * padded)),
        raw(u),
        z(u),
        grad(u),
        grad_u(u),
        grad_delta(u),
        grad_z(u),
        y(u),
        b(floats(kScanChunk * states)),
        c(b) {}
};

/// What one group of lanes keeps of a chunk: h before each token and after the last, the decays,
/// and softplus(delta); `sum_b`, `sum_c` collect grad_b and grad_c over the groups of a block.
struct Kept {
  std::vector<float> h, decay, step, sum_b, sum_c;
  explicit Kept(std::int64_t states)
      : h(floats((kScanChunk + 1) * states * kScanLanes)),
        decay(floats(kScanChunk * states * kScanLanes)),
        step(floats(kScanChunk * kScanLanes)),
        sum_b(decay),
        sum_c(decay) {}
};

/// Sums over the sequence, per channel (and state), in [groups][N][kScanLanes] and [padded].
struct Sums {
  std::vector<float> carry, a, skip, bias;
  explicit Sums(const ScanBlock& fixed)
      : carry(fixed.a.size()), a(carry), skip(fixed.skip.size()), bias(skip) {}
};

/// One call per (row, block of channels): the chunks from last to first; each is scanned forward
/// from its saved state, then backward.
template <typename T>
struct BackwardTasks {
  ScanBackward io;
  ScanShape shape;
  ScanPlan plan;
  ScanScratch scratch;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t task = begin; task < end; ++task) {
      const auto row = task / plan.blocks;
      const auto block = task % plan.blocks;
      const auto channel = block * plan.block_channels;
      const auto width = std::min(plan.block_channels, shape.channels - channel);
      const ScanBlock fixed(io.in, shape, channel, width);
      Tiles tiles(fixed.padded(), shape.states);
      Kept kept(shape.states);
      Sums sums(fixed);
      for (std::int64_t chunk = plan.chunks; chunk-- > 0;) {
        const auto first = chunk * kScanChunk;
        const ScanTile tile{row * shape.sequence + first,
                            std::min(kScanChunk, shape.sequence - first), channel, width};
        load(tile, fixed.padded(), tiles);
        std::fill(kept.sum_b.begin(), kept.sum_b.end(), 0.0F);
        std::fill(kept.sum_c.begin(), kept.sum_c.end(), 0.0F);
        const float* before =
            io.states.as<float>() + (row * plan.chunks + chunk) * shape.channels * shape.states;
        for (std::int64_t c = 0; c < fixed.padded(); c += kScanLanes) {
          load_group(before, tile, c, kept);
          for (std::int64_t t = 0; t < tile.count; ++t) {
            forward_token(tile, t, fixed, c, tiles, kept);
          }
          for (std::int64_t t = tile.count; t-- > 0;) {
            backward_token(t, fixed, c, tiles, kept, sums);
          }
        }
        store(tile, fixed.padded(), tiles);
        store_token_sums(tile, block, kept);
      }
      store_channel_sums(row, channel, width, fixed, sums);
    }
  }

  [[gnu::always_inline]] void load(const ScanTile& tile, std::int64_t padded, Tiles& tiles) const {
    cpu::load_tile<T>(io.in.u, shape.channels, tile, padded, tiles.u.data());
    cpu::load_tile<T>(io.in.delta, shape.channels, tile, padded, tiles.raw.data());
    cpu::load_tile<T>(io.grad_y, shape.channels, tile, padded, tiles.grad.data());
    if (!io.in.z.empty()) {
      cpu::load_tile<T>(io.in.z, shape.channels, tile, padded, tiles.z.data());
    }
    const ScanTile columns{tile.token, tile.count, 0, shape.states};
    cpu::load_tile<T>(io.in.b, shape.states, columns, shape.states, tiles.b.data());
    cpu::load_tile<T>(io.in.c, shape.states, columns, shape.states, tiles.c.data());
  }

  [[gnu::always_inline]] void store(const ScanTile& tile, std::int64_t padded,
                                    const Tiles& tiles) const {
    cpu::store_tile<T>(io.grads.u, shape.channels, tile, padded, tiles.grad_u.data());
    cpu::store_tile<T>(io.grads.delta, shape.channels, tile, padded, tiles.grad_delta.data());
    if (!io.in.z.empty()) {
      cpu::store_tile<T>(io.grads.z, shape.channels, tile, padded, tiles.grad_z.data());
    }
    if (!io.y.empty()) {
      cpu::store_tile<T>(io.y, shape.channels, tile, padded, tiles.y.data());
    }
  }

  [[gnu::always_inline]] void load_group(const float* before, const ScanTile& tile, std::int64_t c,
                                         Kept& kept) const {
    std::fill(kept.h.begin(), kept.h.begin() + shape.states * kScanLanes, 0.0F);
    const auto count = std::min(kScanLanes, tile.width - c);
    cpu::load_states(before, {0, 0, tile.channel + c, count}, shape.states, kept.h.data());
  }

  /// Scans one token and gates it: h, decay, step, y, grad (of the ungated y) and grad_z.
  [[gnu::always_inline]] void forward_token(const ScanTile& tile, std::int64_t t,
                                            const ScanBlock& fixed, std::int64_t c, Tiles& tiles,
                                            Kept& kept) const {
    const auto at = t * fixed.padded() + c;
    const bool restart = cpu::restarts(io.in.positions, tile.token + t);
    const float* __restrict a = fixed.a.data() + c * shape.states;
    const float* __restrict u = tiles.u.data() + at;
    const float* __restrict raw = tiles.raw.data() + at;
    float* __restrict step = kept.step.data() + t * kScanLanes;
    const float* __restrict h = kept.h.data() + t * shape.states * kScanLanes;
    float* __restrict after = kept.h.data() + (t + 1) * shape.states * kScanLanes;
    float* __restrict decay = kept.decay.data() + t * shape.states * kScanLanes;
    float input[kScanLanes], sum[kScanLanes];
    for (std::int64_t l = 0; l < kScanLanes; ++l) {
      const auto lane = static_cast<std::size_t>(c + l);
      step[l] = cpu::softplus(raw[l] + fixed.bias[lane]);
      input[l] = step[l] * u[l];
      sum[l] = fixed.skip[lane] * u[l];
    }
    for (std::int64_t n = 0; n < shape.states; ++n) {
      const float b = tiles.b[static_cast<std::size_t>(t * shape.states + n)];
      const float out = tiles.c[static_cast<std::size_t>(t * shape.states + n)];
      for (std::int64_t l = n * kScanLanes; l < (n + 1) * kScanLanes; ++l) {
        const auto lane = l - n * kScanLanes;
        decay[l] = restart ? 0.0F : cpu::exponential(step[lane] * a[l]);
        after[l] = std::fma(decay[l], restart ? 0.0F : h[l], input[lane] * b);
        sum[lane] = std::fma(out, after[l], sum[lane]);
      }
    }
    gate(at, sum, tiles);
  }

  [[gnu::always_inline]] void gate(std::int64_t at, const float* sum, Tiles& tiles) const {
    float* __restrict y = tiles.y.data() + at;
    if (io.in.z.empty()) {
      for (std::int64_t l = 0; l < kScanLanes; ++l) y[l] = sum[l];
      return;
    }
    const float* __restrict z = tiles.z.data() + at;
    float* __restrict grad = tiles.grad.data() + at;
    float* __restrict grad_z = tiles.grad_z.data() + at;
    for (std::int64_t l = 0; l < kScanLanes; ++l) {
      const float s = cpu::sigmoid(z[l]);
      const float open = z[l] * s;
      grad_z[l] = grad[l] * sum[l] * std::fma(open, 1.0F - s, s);
      y[l] = sum[l] * open;
      grad[l] = grad[l] * open;
    }
  }

  /// The adjoint of one token. After a reset the decay is zero, which stops the carry.
  [[gnu::always_inline]] void backward_token(std::int64_t t, const ScanBlock& fixed, std::int64_t c,
                                             Tiles& tiles, Kept& kept, Sums& sums) const {
    const auto at = t * fixed.padded() + c;
    const auto first = t * shape.states * kScanLanes;
    const float* __restrict a = fixed.a.data() + c * shape.states;
    const float* __restrict u = tiles.u.data() + at;
    const float* __restrict grad = tiles.grad.data() + at;
    const float* __restrict step = kept.step.data() + t * kScanLanes;
    const float* __restrict h = kept.h.data() + first;
    const float* __restrict after = h + shape.states * kScanLanes;
    const float* __restrict decay = kept.decay.data() + first;
    float* __restrict sum_b = kept.sum_b.data() + first;
    float* __restrict sum_c = kept.sum_c.data() + first;
    float* __restrict carry = sums.carry.data() + c * shape.states;
    float* __restrict sum_a = sums.a.data() + c * shape.states;
    float through_b[kScanLanes] = {}, through_a[kScanLanes] = {};
    for (std::int64_t n = 0; n < shape.states; ++n) {
      const float b = tiles.b[static_cast<std::size_t>(t * shape.states + n)];
      const float out = tiles.c[static_cast<std::size_t>(t * shape.states + n)];
      for (std::int64_t l = n * kScanLanes; l < (n + 1) * kScanLanes; ++l) {
        const auto lane = l - n * kScanLanes;
        const float g = std::fma(out, grad[lane], carry[l]);
        const float kept_part = decay[l] == 0.0F ? 0.0F : decay[l] * h[l];
        sum_c[l] = std::fma(grad[lane], after[l], sum_c[l]);
        sum_b[l] = std::fma(g, step[lane] * u[lane], sum_b[l]);
        through_b[lane] = std::fma(g, b, through_b[lane]);
        through_a[lane] = std::fma(g * kept_part, a[l], through_a[lane]);
        sum_a[l] = std::fma(g * kept_part, step[lane], sum_a[l]);
        carry[l] = g * decay[l];
      }
    }
    float* __restrict grad_u = tiles.grad_u.data() + at;
    float* __restrict grad_delta = tiles.grad_delta.data() + at;
    const float* __restrict raw = tiles.raw.data() + at;
    for (std::int64_t l = 0; l < kScanLanes; ++l) {
      const auto lane = static_cast<std::size_t>(c + l);
      grad_u[l] = std::fma(step[l], through_b[l], fixed.skip[lane] * grad[l]);
      grad_delta[l] =
          std::fma(through_b[l], u[l], through_a[l]) * cpu::sigmoid(raw[l] + fixed.bias[lane]);
      sums.skip[lane] = std::fma(grad[l], u[l], sums.skip[lane]);
      sums.bias[lane] = sums.bias[lane] + grad_delta[l];
    }
  }

  /// The block's share of grad_b and grad_c: [blocks x tokens x 2N].
  [[gnu::always_inline]] void store_token_sums(const ScanTile& tile, std::int64_t block,
                                               const Kept& kept) const {
    const auto tokens = shape.batch * shape.sequence;
    float* to = io.workspace.as<float>() + scratch.token_sums +
                (block * tokens + tile.token) * 2 * shape.states;
    for (std::int64_t i = 0; i < tile.count * shape.states; ++i) {
      const auto t = i / shape.states, n = i % shape.states;
      const float* b = kept.sum_b.data() + i * kScanLanes;
      const float* c = kept.sum_c.data() + i * kScanLanes;
      float lanes_b[kScanLanes], lanes_c[kScanLanes];
      for (std::int64_t l = 0; l < kScanLanes; ++l) {
        lanes_b[l] = b[l];
        lanes_c[l] = c[l];
      }
      for (std::int64_t half = kScanLanes / 2; half > 0; half /= 2) {
        for (std::int64_t l = 0; l < half; ++l) {
          lanes_b[l] = lanes_b[l] + lanes_b[l + half];
          lanes_c[l] = lanes_c[l] + lanes_c[l + half];
        }
      }
      to[t * 2 * shape.states + n] = lanes_b[0];
      to[t * 2 * shape.states + shape.states + n] = lanes_c[0];
    }
  }

  /// The row's share of the parameters' gradients: [B x D*(N + 2)].
  void store_channel_sums(std::int64_t row, std::int64_t channel, std::int64_t width,
                          const ScanBlock& fixed, Sums& sums) const {
    for (std::size_t i = 0; i < sums.a.size(); ++i) sums.a[i] = sums.a[i] * fixed.a[i];
    float* to =
        io.workspace.as<float>() + scratch.channel_sums + row * shape.channels * (shape.states + 2);
    cpu::store_states(to, {0, 0, channel, width}, shape.states, sums.a.data());
    to += shape.channels * shape.states + channel;
    std::copy_n(sums.skip.begin(), width, to);
    std::copy_n(sums.bias.begin(), width, to + shape.channels);
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
    for (std::int64_t i = begin * 2 * states; i < end * 2 * states; ++i) {
      float sum = 0.0F;
      for (std::int64_t block = 0; block < blocks; ++block) sum += shares[block * size + i];
      const auto token = i / (2 * states), n = i % (2 * states);
      const TokenMatrix& to = n < states ? io.grads.b : io.grads.c;
      to.view.as<T>()[token * to.stride_of(states) + n % states] = cpu::from_float<T>(sum);
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
  const float* workspace = io.workspace.as<float>();
  cpu::with_activation(io.in.u.view.dtype, [&]<typename T>() {
    cpu::simd_loop(BackwardTasks<T>{io, shape, plan, scratch}, shape.batch * plan.blocks, 1);
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
