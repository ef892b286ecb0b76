#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "config/config.h"

namespace zt::train {

/// What a dry run is told beside the run's configuration.
struct DryRun {
  int world = 1;       ///< ranks that the run would have
  std::string device;  ///< a name of plan::device_names; empty: this machine's GPU, if it has one
};

/// `zt train --dry_run`: what the run would be, without its devices, data or output: parameters,
/// batch, the schedule of all ranks (built and proven), memory per GPU by item and whether it fits,
/// seconds per step and days for --max_steps, and one real step of the same settings at reduced
/// width on threads of this process. Writes no files.
/// Errors: ConfigError for an unknown device and for settings that contradict each other.
void dry_run(const config::Config& config, const DryRun& request, std::ostream& out);

/// Width of the model that the configuration names, for DeepSpeed's `"auto"` values.
/// Errors: ConfigError, FileError.
[[nodiscard]] std::int64_t hidden_size_of(const config::Config& config);

/// `zt train --check_memory`: what every device of this machine has used and free, what each preset
/// needs per GPU on --nproc of them (4), and which fit under --gpu_memory, else on this machine's
/// first GPU. Without a GPU it says so and compares with GPUs by name.
void check_memory(const config::LaunchConfig& launch, std::ostream& out);

}  // namespace zt::train
