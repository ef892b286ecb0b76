#pragma once

#include "launch/run_ranks.h"

namespace zt::cli {

/// Starts one process of this program per rank, after everything that needs no peer has been
/// checked once instead of in every rank. The one way to ranks of `zt train --nproc N` and of
/// `zt launch -- zt train`. `options.arguments` begin with the subcommand. Returns the exit code.
int start_ranks(const launch::LaunchOptions& options);

/// Those checks alone, for ranks that start later. Errors: ConfigError, FileError.
void check_ranks(const launch::LaunchOptions& options);

}  // namespace zt::cli
