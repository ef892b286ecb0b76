#include "cli/start_ranks.h"

#include "base/log.h"
#include "cli/run_task.h"
#include "config/env.h"
#include "config/resolve.h"
#include "memory/arena.h"
#include "train/predict.h"
#include "train/run.h"

namespace zt::cli {
namespace {

/// The flags, the model and, on the machine that writes it, the output folder.
void check_task(const launch::LaunchOptions& options) {
  Arguments flags(options.arguments.begin() + 1, options.arguments.end());
  const auto task = options.arguments.front() == "run" ? take_task(flags) : config::Task::train;
  train::RunInput input{.arguments = flags,
                        .environment = config::all_variables(),
                        .task = task,
                        .has_gpu = memory::num_cuda_devices() > 0};
  input.rank.world_size =
      options.world_size > 0 ? options.world_size : options.nnodes * options.nproc;
  input.rank.local_world_size = options.nproc;
  const auto config = task == config::Task::predict
                          ? train::check_predict_inputs(input)
                          : train::check_inputs(input, /*check_output=*/options.node_rank == 0);
  log::init(0, log::parse_level(config.run.log_level));
}

}  // namespace

void check_ranks(const launch::LaunchOptions& options) {
  const auto command = options.arguments.empty() ? std::string() : options.arguments.front();
  if (command == "train" || command == "run") check_task(options);
}

int start_ranks(const launch::LaunchOptions& options) {
  log::init(0, log::Level::info);
  check_ranks(options);
  return launch::run_ranks(options);
}

}  // namespace zt::cli
