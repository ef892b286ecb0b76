#pragma once

#include "model/family.h"
#include "plan/candidate.h"
#include "plan/device_limits.h"
#include "plan/machine_rates.h"
#include "plan/step_clock.h"

namespace zt::plan {

/// Seconds of one copy, host optimizer or disk operation; 0 for those of the device.
[[nodiscard]] double offload_seconds(const schedule::Program& program,
                                     const schedule::Operation& op, const OffloadRates& rates);

/// Seconds of one operation at these rates. `world`: ranks.
[[nodiscard]] double operation_seconds(const Candidate& candidate, const schedule::Program& program,
                                       const schedule::Operation& op, int world,
                                       const MachineRates& rates);

/// Walks a step of the candidate at these rates: what compute hides of copies, of the host's
/// optimizer and of disks is what the schedule lets it hide.
[[nodiscard]] StepLength estimate_step(const Candidate& candidate, const schedule::Program& program,
                                       int world, const MachineRates& rates);

/// The part of `sheet_rates` that is the host's. `local_world`: ranks that share it.
[[nodiscard]] OffloadRates sheet_host(const DeviceLimits& device, int local_world);

/// `rates`, and what they do not say (0) by the others.
[[nodiscard]] OffloadRates known_or(OffloadRates rates, const OffloadRates& others);

/// A step of the candidate on its target: the sheet's rates, or those measured there. The target
/// has a sheet.
[[nodiscard]] double target_seconds(const Planner& planner, const Candidate& candidate);

/// What data sheets say of a device and of the host it usually sits in. `model`: null when only
/// sizes of layers are known. `local_world`: ranks that share the host.
[[nodiscard]] MachineRates sheet_rates(const DeviceLimits& device, const Candidate& candidate,
                                       const model::Model* model, int local_world);

}  // namespace zt::plan
