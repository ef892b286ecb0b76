#pragma once

#include <cstdint>

#include "kernels/cpu/simd_target.h"
#include "kernels/selective_scan/selective_scan.h"

namespace zt::kernels {

/// Channels that the CPU's vector loops take together.
inline constexpr std::int64_t kScanLanes = 16;

/// A group of kScanLanes channels over the tokens of one chunk (at most kScanChunk), all in fp32.
/// "tile": [kScanChunk x kScanLanes]; "lane state": [states x kScanLanes].
struct ScanGroup {
  std::int64_t tokens = 0, states = 0;
  const float* a = nullptr;               ///< lane state: A log2(e), so that decay = 2^(step a)
  const float* skip = nullptr;            ///< [kScanLanes]
  const float* bias = nullptr;            ///< [kScanLanes], of delta
  const float* b = nullptr;               ///< [tokens x states]
  const float* c = nullptr;               ///< [tokens x states]
  const std::uint8_t* restart = nullptr;  ///< [tokens]: not 0 where the state before is zero
  const float* u = nullptr;               ///< tile
  const float* raw = nullptr;             ///< tile, delta before bias and softplus
  const float* z = nullptr;               ///< tile; null: no gate
  float* y = nullptr;                     ///< tile, written
  float* h = nullptr;                     ///< lane state before the first token; becomes the last's
  float* scratch = nullptr;               ///< kScanGroupScratch floats
};

/// `carry` is the adjoint that comes from later chunks. Sums are added to. `b` and `c` hold each
/// lane's share: [tokens x states x kScanLanes]. `h` is left as it was.
struct ScanGroupGrads {
  const float* y = nullptr;  ///< tile
  float* u = nullptr;        ///< tile, written; delta (of raw) and z too
  float* delta = nullptr;
  float* z = nullptr;  ///< null where the group has no gate
  float* carry = nullptr;
  float* a = nullptr;  ///< lane state: sum of g decay h step, to be multiplied by A
  float* skip = nullptr;
  float* bias = nullptr;
  float* b = nullptr;
  float* c = nullptr;
};

/// Loops of one instruction set. All of them give the same bits.
struct ScanLoops {
  void (*forward)(const ScanGroup& group) = nullptr;
  /// Scans forward from `h` (also writes y), then backward.
  void (*backward)(const ScanGroup& group, const ScanGroupGrads& grads) = nullptr;
  /// to[i] = the sum of from[i x kScanLanes ...], pairwise, for i below a multiple of 4.
  void (*sum_lanes)(const float* from, std::int64_t count, float* to) = nullptr;
};

/// Of `target`, which must be one that this processor runs.
[[nodiscard]] ScanLoops scan_loops(cpu::SimdTarget target);

/// States that a loop over the tokens takes at once.
inline constexpr std::int64_t kScanStatesAtOnce = 4;
/// Eight tiles; decays of a chunk, and states before each token and after the last.
inline constexpr std::int64_t kScanGroupScratch =
    kScanLanes * (kScanChunk * (8 + 2 * kScanStatesAtOnce) + kScanStatesAtOnce);

}  // namespace zt::kernels
