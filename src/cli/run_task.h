#pragma once

#include "cli/commands.h"
#include "config/run_task.h"

namespace zt::cli {

/// Runs a task in this process, as one rank where a launcher has set the rank variables, or starts
/// the ranks that `flags` ask for. `words`: what a rank is started with, the subcommand first.
/// Returns the exit code.
int run_task(config::Task task, const Arguments& flags, const Arguments& words);

/// Takes `--task NAME` out of the flags of `zt run`; train when it is not there.
/// Errors: ConfigError for another name, or when it is there twice.
[[nodiscard]] config::Task take_task(Arguments& flags);

}  // namespace zt::cli
