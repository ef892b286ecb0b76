#include <algorithm>
#include <iostream>

#include "bench/run_bench.h"
#include "cli/commands.h"
#include "cli/parent.h"
#include "config/env.h"
#include "launch/job_port.h"
#include "launch/run_ranks.h"
#include "memory/arena.h"

namespace zt::cli {

int run_bench(const Arguments& arguments) {
  const auto flags = bench::parse_bench_flags(arguments);
  if (flags.help) {
    std::cout << bench::bench_flags_help();
    return 0;
  }
  const int num_gpus = memory::num_cuda_devices();
  if (auto rank = config::rank_environment(config::read_environment())) {
    const auto port = launch::agree_on_port(*rank);
    const EndWithRunner watch(*rank);
    bench::run_bench(flags, *rank, num_gpus > 0);
    return 0;
  }
  const auto config = bench::bench_config(flags, std::nullopt, num_gpus > 0);
  const bool cuda = config.launch.device == config::DeviceKind::cuda;
  const int world = config.launch.nproc > 0 ? config.launch.nproc
                    : cuda                  ? std::max(1, num_gpus)
                                            : 1;
  if (world == 1) {
    bench::run_bench(flags, {}, num_gpus > 0);
    return 0;
  }
  launch::LaunchOptions options;
  options.nproc = world;
  options.arguments = arguments;
  options.arguments.insert(options.arguments.begin(), "bench");
  return launch::run_ranks(options);
}

}  // namespace zt::cli
