#pragma once

#include <functional>
#include <vector>

#include "schedule/schedule.h"

namespace zt::plan {

/// How compute and communication disturb each other while both run.
struct Contention {
  double compute_lost = 0;  ///< seconds of compute lost per second of communication beside it
  double link_factor = 1;   ///< how much longer the communication takes
};

/// What an operation takes alone, in seconds.
using OperationSeconds = std::function<double(const schedule::Operation&)>;

/// Seconds of one step.
struct StepLength {
  double length = 0;   ///< from step to step
  double compute = 0;  ///< what the compute stream's operations take alone
  double slowed = 0;   ///< how much longer they took beside communication
  /// Nothing computes.
  [[nodiscard]] double exposed() const { return length - compute - slowed; }
};

/// Walks one step among many as the executor runs it: streams in order, each operation after those
/// it waits on; micro-steps and boundary behind each other, with what the boundary of the step
/// before leaves to the host, to copies and to disks (schedule::follows) beside the first of them.
[[nodiscard]] StepLength walk_step(const schedule::Program& program, int micro_steps,
                                   const OperationSeconds& seconds_of,
                                   const Contention& contention);

}  // namespace zt::plan
