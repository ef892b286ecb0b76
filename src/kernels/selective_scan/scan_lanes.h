#pragma once

// CPU side of the selective scan: what a task (one row, one block of channels) keeps, and how tiles
// of up to kScanChunk tokens get from activations to fp32 groups of kScanLanes channels and back.

#include <vector>

#include "kernels/cpu/half.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/rows.h"
#include "kernels/selective_scan/scan_group.h"
#include "kernels/selective_scan/selective_scan_impl.h"

namespace zt::kernels::cpu {

inline constexpr std::int64_t kScanTile = kScanChunk * kScanLanes;

inline std::vector<float> floats(std::int64_t count) {
  return std::vector<float>(static_cast<std::size_t>(count));
}

/// The tokens [token, + count), counted over all rows, of the channels [channel, + width).
struct ScanTile {
  std::int64_t token = 0, count = 0, channel = 0, width = 0;
};

/// Copies a tile into `to` [groups][kScanChunk][kScanLanes], zeros behind the last channel.
template <typename T>
[[gnu::always_inline]] inline void load_tile(const TokenMatrix& from, std::int64_t columns,
                                             const ScanTile& tile, float* to) {
  const auto stride = from.stride_of(columns);
  for (std::int64_t t = 0; t < tile.count; ++t) {
    const T* row = from.view.as<T>() + (tile.token + t) * stride + tile.channel;
    float* out = to + t * kScanLanes;
    std::int64_t c = 0;
    for (; c + kScanLanes <= tile.width; c += kScanLanes, out += kScanTile) {
      for (std::int64_t l = 0; l < kScanLanes; ++l) out[l] = to_float(row[c + l]);
    }
    if (c == tile.width) continue;
    for (std::int64_t l = 0; l < kScanLanes; ++l) {
      out[l] = c + l < tile.width ? to_float(row[c + l]) : 0.0F;
    }
  }
}

template <typename T>
[[gnu::always_inline]] inline void store_tile(const TokenMatrix& to, std::int64_t columns,
                                              const ScanTile& tile, const float* from) {
  const auto stride = to.stride_of(columns);
  for (std::int64_t t = 0; t < tile.count; ++t) {
    T* row = to.view.as<T>() + (tile.token + t) * stride + tile.channel;
    const float* values = from + t * kScanLanes;
    std::int64_t c = 0;
    for (; c + kScanLanes <= tile.width; c += kScanLanes, values += kScanTile) {
      for (std::int64_t l = 0; l < kScanLanes; ++l) row[c + l] = from_float<T>(values[l]);
    }
    for (std::int64_t l = 0; c + l < tile.width; ++l) row[c + l] = from_float<T>(values[l]);
  }
}

/// Copies rows of b or c into `to` [count x states].
template <typename T>
[[gnu::always_inline]] inline void load_rows(const TokenMatrix& from, std::int64_t states,
                                             const ScanTile& tile, float* to) {
  const auto stride = from.stride_of(states);
  for (std::int64_t t = 0; t < tile.count; ++t) {
    const T* row = from.view.as<T>() + (tile.token + t) * stride;
    for (std::int64_t n = 0; n < states; ++n) to[t * states + n] = to_float(row[n]);
  }
}

/// Copies the states [D x N] of a block's channels between memory and [groups][N][kScanLanes].
[[gnu::always_inline]] inline void load_states(const float* from, std::int64_t channel,
                                               std::int64_t width, std::int64_t states, float* h) {
  for (std::int64_t c = 0; c < width; ++c) {
    for (std::int64_t n = 0; n < states; ++n) {
      h[(c / kScanLanes * states + n) * kScanLanes + c % kScanLanes] =
          from[(channel + c) * states + n];
    }
  }
}
[[gnu::always_inline]] inline void store_states(float* to, std::int64_t channel, std::int64_t width,
                                                std::int64_t states, const float* h) {
  for (std::int64_t c = 0; c < width; ++c) {
    for (std::int64_t n = 0; n < states; ++n) {
      to[(channel + c) * states + n] =
          h[(c / kScanLanes * states + n) * kScanLanes + c % kScanLanes];
    }
  }
}

/// What a block of channels keeps over the whole sequence.
struct ScanBlock {
  std::int64_t groups;
  std::vector<float> a;  ///< [groups][N][kScanLanes]: -exp(a_log) log2(e)
  std::vector<float> skip, bias;

  ScanBlock(std::int64_t width, std::int64_t states)
      : groups((width + kScanLanes - 1) / kScanLanes),
        a(floats(groups * kScanLanes * states)),
        skip(floats(groups * kScanLanes)),
        bias(skip) {}

  [[gnu::always_inline]] void load(const ScanInputs& in, std::int64_t states, std::int64_t channel,
                                   std::int64_t width) {
    constexpr float kLog2E = 1.44269504088896341F;
    const auto value = [](const View& view, std::int64_t i) {
      if (view.dtype == DType::f32) return view.as<float>()[i];
      if (view.dtype == DType::bf16) return to_float(view.as<Bf16>()[i]);
      return to_float(view.as<F16>()[i]);
    };
    float row[kScanMaxStates];
    for (std::int64_t c = 0; c < width; ++c) {
      const auto lane = static_cast<std::size_t>(c);
      skip[lane] = value(in.skip, channel + c);
      bias[lane] = in.delta_bias.numel > 0 ? value(in.delta_bias, channel + c) : 0.0F;
      for (std::int64_t n = 0; n < states; ++n) {
        row[n] = value(in.a_log, (channel + c) * states + n);
      }
      for (std::int64_t n = 0; n < states; ++n) row[n] = exponential(row[n]) * -kLog2E;
      float* to = a.data() + c / kScanLanes * states * kScanLanes + c % kScanLanes;
      for (std::int64_t n = 0; n < states; ++n) to[n * kScanLanes] = row[n];
    }
  }
};

/// Sets restart[t] where the state before a token of the tile is zero by its position.
inline void find_restarts(const View& positions, const ScanTile& tile, std::uint8_t* restart) {
  if (positions.numel == 0) return;
  for (std::int64_t t = 0; t < tile.count; ++t) {
    restart[t] = positions.as<std::int64_t>()[tile.token + t] == 0 ? 1 : 0;
  }
}

/// What both directions have of a block of channels and of the chunk they are at.
struct ScanBuffers {
  ScanBlock block;
  std::vector<float> u, raw, z, y;      ///< tiles
  std::vector<float> b, c, h, scratch;  ///< [kScanChunk x N] twice, lane states, ScanGroup::scratch
  std::vector<std::uint8_t> restart;    ///< [kScanChunk]

  ScanBuffers(std::int64_t width, std::int64_t states)
      : block(width, states),
        u(floats(block.groups * kScanTile)),
        raw(u),
        z(u),
        y(u),
        b(floats(kScanChunk * states)),
        c(b),
        h(block.a),
        scratch(floats(kScanGroupScratch)),
        restart(kScanChunk) {}

  template <typename T>
  [[gnu::always_inline]] void load(const ScanInputs& in, const ScanShape& shape,
                                   const ScanTile& tile) {
    load_tile<T>(in.u, shape.channels, tile, u.data());
    load_tile<T>(in.delta, shape.channels, tile, raw.data());
    if (!in.z.empty()) load_tile<T>(in.z, shape.channels, tile, z.data());
    load_rows<T>(in.b, shape.states, tile, b.data());
    load_rows<T>(in.c, shape.states, tile, c.data());
    find_restarts(in.positions, tile, restart.data());
  }

  /// The lanes from `channel` of the block on, over the tokens of `tile`.
  [[gnu::always_inline]] ScanGroup group(const ScanTile& tile, std::int64_t states,
                                         std::int64_t channel, bool gate) {
    const auto place = channel * kScanChunk;
    return {.tokens = tile.count,
            .states = states,
            .a = block.a.data() + channel * states,
            .skip = block.skip.data() + channel,
            .bias = block.bias.data() + channel,
            .b = b.data(),
            .c = c.data(),
            .restart = restart.data(),
            .u = u.data() + place,
            .raw = raw.data() + place,
            .z = gate ? z.data() + place : nullptr,
            .y = y.data() + place,
            .h = h.data() + channel * states,
            .scratch = scratch.data()};
  }
};

/// Calls tasks(i, i + 1) for i in [0, count) on OpenMP's threads, compiled for this processor. Each
/// thread has one Tasks::Buffers; results must not depend on what an earlier task left there.
template <typename Tasks>
void run_tasks(Tasks tasks, std::int64_t count) {
  const Isa isa = host_isa();
#pragma omp parallel firstprivate(tasks) if (count > 1)
  {
    typename Tasks::Buffers buffers(tasks);
    tasks.buffers = &buffers;
#pragma omp for schedule(dynamic)
    for (std::int64_t i = 0; i < count; ++i) run_isa(isa, tasks, i, i + 1);
  }
}

}  // namespace zt::kernels::cpu
