#include "cli/start_ranks.h"

#include "base/log.h"
#include "config/env.h"
#include "config/resolve.h"
#include "memory/arena.h"
#include "train/run.h"

namespace zt::cli {
namespace {

/// The flags, the model and, on the machine that writes it, the output folder.
void check_training(const launch::LaunchOptions& options) {
  train::RunInput input{.arguments = {options.arguments.begin() + 1, options.arguments.end()},
                        .environment = config::all_variables(),
                        .has_gpu = memory::num_cuda_devices() > 0};
  input.rank.world_size =
      options.world_size > 0 ? options.world_size : options.nnodes * options.nproc;
  input.rank.local_world_size = options.nproc;
  const auto config = train::check_inputs(input, /*check_output=*/options.node_rank == 0);
  log::init(0, log::parse_level(config.run.log_level));
}

}  // namespace

void check_ranks(const launch::LaunchOptions& options) {
  if (!options.arguments.empty() && options.arguments.front() == "train") check_training(options);
}

int start_ranks(const launch::LaunchOptions& options) {
  check_ranks(options);
  return launch::run_ranks(options);
}

}  // namespace zt::cli
