#include "kernels/cpu/rows.h"
#include "kernels/selective_scan/scan_lanes.h"

namespace zt::kernels {
namespace {

using cpu::kScanLanes;
using cpu::ScanBlock;
using cpu::ScanTile;

/// fp32 tiles of one task, [kScanChunk x padded], and b, c [kScanChunk x N].
struct Tiles {
  std::vector<float> u, delta, z, y, b, c;
  Tiles(std::int64_t padded, std::int64_t states)
      : u(static_cast<std::size_t>(kScanChunk * padded)),
        delta(u.size()),
        z(u.size()),
        y(u.size()),
        b(static_cast<std::size_t>(kScanChunk * states)),
        c(b.size()) {}
};

/// One call per (row, block of channels); the whole sequence, chunk after chunk.
template <typename T>
struct ForwardTasks {
  ScanForward io;
  ScanShape shape;
  std::int64_t block, blocks;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t task = begin; task < end; ++task) {
      const auto row = task / blocks;
      const auto channel = task % blocks * block;
      const auto width = std::min(block, shape.channels - channel);
      const ScanBlock fixed(io.in, shape, channel, width);
      Tiles tiles(fixed.padded(), shape.states);
      std::vector<float> h(fixed.a.size());
      const auto row_states = shape.channels * shape.states;
      if (io.initial_state.numel > 0) {
        cpu::load_states(io.initial_state.as<float>() + row * row_states, {0, 0, channel, width},
                         shape.states, h.data());
      }
      const auto chunks = (shape.sequence + kScanChunk - 1) / kScanChunk;
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        const auto first = chunk * kScanChunk;
        const ScanTile tile{row * shape.sequence + first,
                            std::min(kScanChunk, shape.sequence - first), channel, width};
        if (io.states.numel > 0) {
          cpu::store_states(io.states.as<float>() + (row * chunks + chunk) * row_states, tile,
                            shape.states, h.data());
        }
        scan_chunk(tile, fixed, tiles, h.data());
      }
      if (io.final_state.numel > 0) {
        cpu::store_states(io.final_state.as<float>() + row * row_states, {0, 0, channel, width},
                          shape.states, h.data());
      }
    }
  }

  [[gnu::always_inline]] void scan_chunk(const ScanTile& tile, const ScanBlock& fixed, Tiles& tiles,
                                         float* h) const {
    const auto padded = fixed.padded();
    const auto states = shape.states;
    cpu::load_tile<T>(io.in.u, shape.channels, tile, padded, tiles.u.data());
    cpu::load_tile<T>(io.in.delta, shape.channels, tile, padded, tiles.delta.data());
    const ScanTile columns{tile.token, tile.count, 0, states};
    cpu::load_tile<T>(io.in.b, states, columns, states, tiles.b.data());
    cpu::load_tile<T>(io.in.c, states, columns, states, tiles.c.data());
    if (!io.in.z.empty()) {
      cpu::load_tile<T>(io.in.z, shape.channels, tile, padded, tiles.z.data());
    }
    for (std::int64_t c = 0; c < padded; c += kScanLanes) {
      float* group = h + c * states;
      for (std::int64_t t = 0; t < tile.count; ++t) {
        if (cpu::restarts(io.in.positions, tile.token + t)) {
          for (std::int64_t i = 0; i < states * kScanLanes; ++i) group[i] = 0.0F;
        }
        scan_token(t * padded + c, t * states, fixed, c, tiles, group);
      }
    }
    cpu::store_tile<T>(io.y, shape.channels, tile, padded, tiles.y.data());
  }

  /// kScanLanes channels, one token: `at` in the tiles, `row` in b and c.
  [[gnu::always_inline]] void scan_token(std::int64_t at, std::int64_t row, const ScanBlock& fixed,
                                         std::int64_t c, Tiles& tiles, float* __restrict h) const {
    const float* __restrict a = fixed.a.data() + c * shape.states;
    float step[kScanLanes], input[kScanLanes], sum[kScanLanes];
    for (std::int64_t l = 0; l < kScanLanes; ++l) {
      const auto lane = static_cast<std::size_t>(c + l);
      const float u = tiles.u[static_cast<std::size_t>(at + l)];
      step[l] = cpu::softplus(tiles.delta[static_cast<std::size_t>(at + l)] + fixed.bias[lane]);
      input[l] = step[l] * u;
      sum[l] = fixed.skip[lane] * u;
    }
    for (std::int64_t n = 0; n < shape.states; ++n) {
      const float b = tiles.b[static_cast<std::size_t>(row + n)];
      const float out = tiles.c[static_cast<std::size_t>(row + n)];
      float* __restrict state = h + n * kScanLanes;
      for (std::int64_t l = 0; l < kScanLanes; ++l) {
        const float decay = cpu::exponential(step[l] * a[n * kScanLanes + l]);
        state[l] = std::fma(decay, state[l], input[l] * b);
        sum[l] = std::fma(out, state[l], sum[l]);
      }
    }
    float* __restrict y = tiles.y.data() + at;
    if (io.in.z.empty()) {
      for (std::int64_t l = 0; l < kScanLanes; ++l) y[l] = sum[l];
    } else {
      const float* __restrict z = tiles.z.data() + at;
      for (std::int64_t l = 0; l < kScanLanes; ++l) y[l] = sum[l] * (z[l] * cpu::sigmoid(z[l]));
    }
  }
};

}  // namespace

void selective_scan_forward_cpu(const ScanForward& io, const ScanShape& shape) {
  constexpr std::int64_t kBlock = 64;
  const auto blocks = (shape.channels + kBlock - 1) / kBlock;
  cpu::with_activation(io.in.u.view.dtype, [&]<typename T>() {
    cpu::simd_loop(ForwardTasks<T>{io, shape, kBlock, blocks}, shape.batch * blocks, 1);
  });
}

}  // namespace zt::kernels
