#pragma once

#include "schedule/schedule.h"

namespace zt::schedule {

/// Alignment of every buffer in an arena.
inline constexpr Bytes kArenaAlignment{512};

/// Gives every buffer an offset: run and step buffers first, then each variant's own buffers in the
/// space behind them, reused by lifetime (larger first, lowest free offset). Sets the arena sizes.
void place(Program& program);

/// Adds the waits each operation needs: after the last writer of what it reads, after all users of
/// what it writes, and after all users of memory that it takes over, where those are on other
/// streams. Users in the variant before that may still run count too (`Operation::carried`).
void derive_waits(Program& program);

/// First and last operation of a variant that uses a buffer; {-1, -1} when none does.
struct Span {
  int first = -1, last = -1;
};
std::vector<Span> spans(const Program& program, const Variant& variant);

}  // namespace zt::schedule
