#pragma once

// CPU side of the selective scan: the functions of one token, and tiles of up to kScanChunk tokens
// of a block of channels in fp32, padded to whole groups of lanes.

#include <cmath>
#include <vector>

#include "kernels/cpu/half.h"
#include "kernels/cpu/lanes.h"
#include "kernels/selective_scan/selective_scan_impl.h"

namespace zt::kernels::cpu {

/// Channels that one vector loop takes.
inline constexpr std::int64_t kScanLanes = 16;

/// log(1 + e^x) to a few ulp, without branches: with w = e^-|x| and s = w / (2 + w),
/// log(1 + w) = 2 atanh(s), a series in s^2 <= 1/9.
[[gnu::always_inline]] inline float softplus(float x) {
  const float w = exponential(x > 0.0F ? -x : x);
  const float s = w / (2.0F + w);
  const float q = s * s;
  float p = 1.0F / 15.0F;
  p = std::fma(p, q, 1.0F / 13.0F);
  p = std::fma(p, q, 1.0F / 11.0F);
  p = std::fma(p, q, 1.0F / 9.0F);
  p = std::fma(p, q, 1.0F / 7.0F);
  p = std::fma(p, q, 1.0F / 5.0F);
  p = std::fma(p, q, 1.0F / 3.0F);
  p = std::fma(p, q, 1.0F);
  return (x > 0.0F ? x : 0.0F) + 2.0F * s * p + 0.0F * x;  // the last term carries NaN
}

/// Element i of a parameter in any float dtype.
inline float parameter(const View& view, std::int64_t i) {
  if (view.dtype == DType::f32) return view.as<float>()[i];
  if (view.dtype == DType::bf16) return to_float(view.as<Bf16>()[i]);
  return to_float(view.as<F16>()[i]);
}

/// The tokens [row * T + first, + count) of the channels [channel, channel + width).
struct ScanTile {
  std::int64_t token = 0, count = 0, channel = 0, width = 0;
};

/// Copies a tile into `to` [kScanChunk x padded], zeros in the padding.
template <typename T>
[[gnu::always_inline]] inline void load_tile(const TokenMatrix& from, std::int64_t columns,
                                             const ScanTile& tile, std::int64_t padded, float* to) {
  const auto stride = from.stride_of(columns);
  for (std::int64_t t = 0; t < tile.count; ++t) {
    const T* row = from.view.as<T>() + (tile.token + t) * stride + tile.channel;
    float* out = to + t * padded;
    for (std::int64_t c = 0; c < tile.width; ++c) out[c] = to_float(row[c]);
    for (std::int64_t c = tile.width; c < padded; ++c) out[c] = 0.0F;
  }
}

template <typename T>
[[gnu::always_inline]] inline void store_tile(const TokenMatrix& to, std::int64_t columns,
                                              const ScanTile& tile, std::int64_t padded,
                                              const float* from) {
  const auto stride = to.stride_of(columns);
  for (std::int64_t t = 0; t < tile.count; ++t) {
    T* row = to.view.as<T>() + (tile.token + t) * stride + tile.channel;
    const float* values = from + t * padded;
    for (std::int64_t c = 0; c < tile.width; ++c) row[c] = from_float<T>(values[c]);
  }
}

/// What a block of channels keeps over the whole sequence: A = -exp(a_log) by group, state and
/// lane, and the parameters of each channel.
struct ScanBlock {
  std::vector<float> a;  ///< [groups][N][kScanLanes]
  std::vector<float> skip, bias;

  ScanBlock(const ScanInputs& in, const ScanShape& shape, std::int64_t channel, std::int64_t width)
      : a(static_cast<std::size_t>((width + kScanLanes - 1) / kScanLanes * kScanLanes *
                                   shape.states)),
        skip(a.size() / static_cast<std::size_t>(shape.states)),
        bias(skip.size()) {
    for (std::int64_t c = 0; c < width; ++c) {
      skip[static_cast<std::size_t>(c)] = parameter(in.skip, channel + c);
      if (in.delta_bias.numel > 0) {
        bias[static_cast<std::size_t>(c)] = parameter(in.delta_bias, channel + c);
      }
      for (std::int64_t n = 0; n < shape.states; ++n) {
        const auto at = (c / kScanLanes * shape.states + n) * kScanLanes + c % kScanLanes;
        a[static_cast<std::size_t>(at)] =
            -std::exp(parameter(in.a_log, (channel + c) * shape.states + n));
      }
    }
  }
  [[nodiscard]] std::int64_t padded() const { return static_cast<std::int64_t>(skip.size()); }
};

/// Copies the states [D x N] of a block's channels between memory and [groups][N][kScanLanes].
[[gnu::always_inline]] inline void load_states(const float* from, const ScanTile& tile,
                                               std::int64_t states, float* h) {
  for (std::int64_t c = 0; c < tile.width; ++c) {
    for (std::int64_t n = 0; n < states; ++n) {
      h[(c / kScanLanes * states + n) * kScanLanes + c % kScanLanes] =
          from[(tile.channel + c) * states + n];
    }
  }
}
[[gnu::always_inline]] inline void store_states(float* to, const ScanTile& tile,
                                                std::int64_t states, const float* h) {
  for (std::int64_t c = 0; c < tile.width; ++c) {
    for (std::int64_t n = 0; n < states; ++n) {
      to[(tile.channel + c) * states + n] =
          h[(c / kScanLanes * states + n) * kScanLanes + c % kScanLanes];
    }
  }
}

/// True when the state before `token` (counted over all rows) is zero by its position.
inline bool restarts(const View& positions, std::int64_t token) {
  return positions.numel > 0 && positions.as<std::int64_t>()[token] == 0;
}

}  // namespace zt::kernels::cpu
