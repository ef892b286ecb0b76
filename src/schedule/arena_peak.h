#pragma once

#include <array>
#include <string>
#include <vector>

#include "schedule/schedule.h"

namespace zt::schedule {

/// Buffers of one kind and unit (or layer) that live at the peak.
struct LiveItem {
  BufferKind kind = BufferKind::scratch;
  int index = -1;  ///< unit or layer
  int count = 0;   ///< buffers
  Bytes bytes;
};

/// One arena at the operation where most of it is live.
struct ArenaPeak {
  Bytes arena;  ///< what is allocated
  VariantKind variant = VariantKind::only;
  int operation = -1;                          ///< index in the variant
  std::string operation_text;                  ///< `backward L7`
  std::array<Bytes, kNumBufferKinds> kinds{};  ///< buffers of the run and step count always
  Bytes unused;                                ///< alignment and gaps: arena less the sum of kinds
  std::vector<LiveItem> items;                 ///< largest first

  [[nodiscard]] Bytes of(BufferKind kind) const { return kinds.at(static_cast<std::size_t>(kind)); }
};

/// Walks every variant with sizes instead of memory. `where`: device or host.
[[nodiscard]] ArenaPeak arena_peak(const Program& program, Place where);

}  // namespace zt::schedule
