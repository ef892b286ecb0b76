#include "kernels/selective_scan/scan_lanes.h"

namespace zt::kernels {
namespace {

using cpu::floats;
using cpu::kScanTile;
using cpu::ScanBlock;
using cpu::ScanTile;

constexpr std::int64_t kBlock = 64;  ///< channels of a task

/// One call per (row, block of channels); the whole sequence, chunk after chunk.
template <typename T>
struct ForwardTasks {
  struct Buffers {
    ScanBlock block;
    std::vector<float> u, raw, z, y, b, c, h, scratch;
    std::vector<std::uint8_t> restart;
    explicit Buffers(const ForwardTasks& tasks)
        : block(tasks.width, tasks.shape.states),
          u(floats(block.groups * kScanTile)),
          raw(u),
          z(u),
          y(u),
          b(floats(kScanChunk * tasks.shape.states)),
          c(b),
          h(block.a),
          scratch(floats(kScanGroupScratch)),
          restart(kScanChunk) {}
  };

  ScanForward io;
  ScanShape shape;
  std::int64_t width, blocks;
  ScanLoops loops;
  Buffers* buffers = nullptr;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    Buffers& at = *buffers;
    const auto states = shape.states, row_states = shape.channels * states;
    const auto chunks = (shape.sequence + kScanChunk - 1) / kScanChunk;
    for (std::int64_t task = begin; task < end; ++task) {
      const auto row = task / blocks;
      const auto channel = task % blocks * width;
      const auto count = std::min(width, shape.channels - channel);
      at.block.load(io.in, states, channel, count);
      std::fill(at.h.begin(), at.h.end(), 0.0F);
      if (io.initial_state.numel > 0) {
        cpu::load_states(io.initial_state.as<float>() + row * row_states, channel, count, states,
                         at.h.data());
      }
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        const auto first = chunk * kScanChunk;
        if (io.states.numel > 0) {
          cpu::store_states(io.states.as<float>() + (row * chunks + chunk) * row_states, channel,
                            count, states, at.h.data());
        }
        scan_chunk({row * shape.sequence + first, std::min(kScanChunk, shape.sequence - first),
                    channel, count});
      }
      if (io.final_state.numel > 0) {
        cpu::store_states(io.final_state.as<float>() + row * row_states, channel, count, states,
                          at.h.data());
      }
    }
  }

  [[gnu::always_inline]] void scan_chunk(const ScanTile& tile) const {
    Buffers& at = *buffers;
    const bool gate = !io.in.z.empty();
    cpu::load_tile<T>(io.in.u, shape.channels, tile, at.u.data());
    cpu::load_tile<T>(io.in.delta, shape.channels, tile, at.raw.data());
    if (gate) cpu::load_tile<T>(io.in.z, shape.channels, tile, at.z.data());
    cpu::load_rows<T>(io.in.b, shape.states, tile, at.b.data());
    cpu::load_rows<T>(io.in.c, shape.states, tile, at.c.data());
    cpu::find_restarts(io.in.positions, tile, at.restart.data());
    for (std::int64_t c = 0; c < tile.width; c += kScanLanes) {
      const auto place = c / kScanLanes * kScanTile;
      loops.forward({.tokens = tile.count,
                     .states = shape.states,
                     .a = at.block.a.data() + c * shape.states,
                     .skip = at.block.skip.data() + c,
                     .bias = at.block.bias.data() + c,
                     .b = at.b.data(),
                     .c = at.c.data(),
                     .restart = at.restart.data(),
                     .u = at.u.data() + place,
                     .raw = at.raw.data() + place,
                     .z = gate ? at.z.data() + place : nullptr,
                     .y = at.y.data() + place,
                     .h = at.h.data() + c * shape.states,
                     .scratch = at.scratch.data()});
    }
    cpu::store_tile<T>(io.y, shape.channels, tile, at.y.data());
  }
};

}  // namespace

void selective_scan_forward_cpu(const ScanForward& io, const ScanShape& shape) {
  const auto blocks = (shape.channels + kBlock - 1) / kBlock;
  const auto loops = scan_loops(cpu::simd_target());
  cpu::with_activation(io.in.u.view.dtype, [&]<typename T>() {
    cpu::run_tasks(ForwardTasks<T>{io, shape, kBlock, blocks, loops}, shape.batch * blocks);
  });
}

}  // namespace zt::kernels
