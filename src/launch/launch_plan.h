#pragma once

#include <string>
#include <vector>

#include "config/env.h"
#include "launch/affinity.h"
#include "launch/hostfile.h"
#include "launch/launch_flags.h"

namespace zt::launch {

/// Who starts the ranks of a command.
enum class Starter {
  here,     ///< this process, those of this machine
  ssh,      ///< one launcher per machine, over ssh
  openmpi,  ///< mpirun
  slurm,    ///< srun
  torchrun
};

struct LaunchPlan {
  Starter starter = Starter::here;
  std::vector<Host> hosts;           ///< empty: none was named
  std::vector<std::string> notices;  ///< what was given and does not count
};

/// Reads the hostfile, applies filters and limits, and completes `command.options` for ranks that
/// start here. `num_devices`: GPUs of this machine. Errors: ConfigError.
[[nodiscard]] LaunchPlan plan_launch(LaunchCommand& command, int num_devices,
                                     const config::Variables& variables);

/// The program as a process: `python3 -u` before a Python script or module.
void resolve_program(LaunchCommand& command);

/// Where the ranks of this machine run (options.places). Errors: ConfigError.
void choose_places(LaunchCommand& command, const Topology& topology, int num_devices,
                   const config::Variables& variables);

}  // namespace zt::launch
