#pragma once

#include <string>

#include "plan/plan_flags.h"
#include "plan/run_plan.h"
#include "plan/settings.h"

namespace zt::plan {

/// Where `zt plan` takes the time of a step from.
struct PlanTimes {
  StepSeconds seconds;
  std::string source;  ///< `RTX4090 by its data sheet: ...`
};

/// The data sheet of --device, or of a device with about as much memory.
/// Errors: ConfigError for an unknown device.
[[nodiscard]] const DeviceLimits& plan_sheet(const PlanFlags& flags, Bytes device_memory);

/// The device file, if one is given and knows the model's kernels; else the target's sheet. `model`
/// and `target` outlive the result. Errors: FileError for a damaged file.
[[nodiscard]] PlanTimes plan_times(const PlanFlags& flags, const NamedModel& model,
                                   const Target& target);

}  // namespace zt::plan
