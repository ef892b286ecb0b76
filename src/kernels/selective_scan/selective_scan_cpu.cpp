#include "kernels/selective_scan/scan_lanes.h"

namespace zt::kernels {
namespace {

using cpu::ScanBuffers;
using cpu::ScanTile;

constexpr std::int64_t kBlock = 64;  ///< channels of a task

/// One call per (row, block of channels); the whole sequence, chunk after chunk.
template <typename T>
struct ForwardTasks {
  struct Buffers : ScanBuffers {
    explicit Buffers(const ForwardTasks& tasks) : ScanBuffers(tasks.width, tasks.shape.states) {}
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
    at.template load<T>(io.in, shape, tile);
    for (std::int64_t c = 0; c < tile.width; c += kScanLanes) {
      loops.forward(at.group(tile, shape.states, c, !io.in.z.empty()));
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
