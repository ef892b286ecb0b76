#pragma once

#include <string>
#include <vector>

#include "bench/bench_flags.h"
#include "config/config.h"
#include "config/env.h"

namespace zt::bench {

/// The configuration of a row. Errors: ConfigError.
[[nodiscard]] config::Config bench_config(const BenchFlags& flags, std::optional<int> world,
                                          bool has_gpu);

/// One rank of `zt bench`; rank 0 prints the row and writes the files. Errors: every type of
/// base/error.h.
void run_bench(const BenchFlags& flags, const config::RankEnvironment& rank, bool has_gpu);

}  // namespace zt::bench
