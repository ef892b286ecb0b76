#pragma once

#include <string>
#include <vector>

#include "config/env.h"
#include "launch/hostfile.h"
#include "launch/launch_flags.h"

namespace zt::launch {

/// A command line of another launcher, with the variables that it needs beside ours.
struct OtherLauncher {
  std::vector<std::string> words;
  config::Variables variables;
};

/// `mpirun -n N --host h1:2,h2:2 -x NAME ... program`: one process per rank, on this machine
/// without hosts. `exported`: what the ranks get; `before`: words in front of the program, which
/// start it. Errors: ConfigError when slots are not the first ones.
[[nodiscard]] OtherLauncher openmpi_command(const LaunchCommand& command,
                                            const std::vector<Host>& hosts,
                                            const config::Variables& exported,
                                            const std::vector<std::string>& before = {});

/// `srun --nodes k --ntasks N --distribution block ... program`. Errors: as above.
[[nodiscard]] OtherLauncher slurm_command(const LaunchCommand& command,
                                          const std::vector<Host>& hosts,
                                          const config::Variables& exported);

/// `torchrun <flags as given> [--no_python] program`.
[[nodiscard]] std::vector<std::string> torchrun_command(const LaunchCommand& command);

/// True when PATH has a program of that name.
[[nodiscard]] bool is_on_path(const std::string& program);

/// Refuses a program, or a Python file, that cannot be started: what every rank would find out by
/// itself. Errors: ConfigError.
void require_program(const LaunchOptions& options);

}  // namespace zt::launch
