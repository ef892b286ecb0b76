#pragma once

#include <functional>

#include "schedule/schedule.h"

namespace zt::plan {

/// How compute and communication disturb each other while both run.
struct Contention {
  double compute_lost = 0;  ///< seconds of compute lost per second of communication beside it
  double link_factor = 1;   ///< how much longer the communication takes
};

/// Seconds of one list of operations.
struct ListTime {
  double length = 0;   ///< until the last operation ends
  double compute = 0;  ///< what the compute stream's operations take alone
  double slowed = 0;   ///< how much longer they took beside communication
  /// Nothing computes.
  [[nodiscard]] double exposed() const { return length - compute - slowed; }
};

/// Walks a list as the executor runs it: streams in order, each operation after those it waits on.
/// `seconds_of`: what an operation takes alone.
[[nodiscard]] ListTime walk_clock(
    const schedule::Variant& variant,
    const std::function<double(const schedule::Operation&)>& seconds_of,
    const Contention& contention);

}  // namespace zt::plan
