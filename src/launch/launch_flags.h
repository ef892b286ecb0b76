#pragma once

#include <string>
#include <vector>

#include "launch/run_ranks.h"

namespace zt::launch {

/// A command line of `zt launch`.
struct LaunchCommand {
  LaunchOptions options;  ///< program and arguments are what follows the flags
  bool wants_help = false;
};

/// Parses `[flags] [--] program arguments...`. Flags as `--name value` or `--name=value`, with `_`
/// or `-`, under our names and those of torchrun and DeepSpeed. `default_nproc`: what `--nproc
/// auto`, or none, means here; at least 1.
/// Errors: ConfigError listing every problem.
[[nodiscard]] LaunchCommand parse_launch(const std::vector<std::string>& arguments,
                                         int default_nproc);

/// The text of `zt help launch`.
[[nodiscard]] std::string launch_help();

}  // namespace zt::launch
