#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>

#include "base/exit_codes.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/parent.h"
#include "cli/run_task.h"
#include "cli/start_ranks.h"
#include "config/env.h"
#include "config/resolve.h"
#include "config/told.h"
#include "launch/job_port.h"
#include "memory/arena.h"
#include "model/family.h"
#include "train/dry_run.h"
#include "train/predict.h"
#include "train/run.h"

namespace zt::cli {
namespace {

/// --nproc, or every GPU, or one CPU rank.
int num_ranks(const config::Config& config, int num_gpus) {
  if (config.launch.nproc > 0) return config.launch.nproc;
  return config.launch.device == config::DeviceKind::cuda ? std::max(1, num_gpus) : 1;
}

/// Ranks that need a GPU each, on a machine that has fewer.
/// Errors: ConfigError. GPUs that were asked for by that name are not replaced by CPU ranks.
void require_gpus(const config::Config& config, int ranks, int num_gpus) {
  const std::string& written = config.origins.at("launch.nproc").key;
  const bool asked = written == "--num_gpus" || written == "--gpus";
  const bool cuda = config.launch.device == config::DeviceKind::cuda;
  if (config.launch.use_cpu || !(cuda || asked) || ranks <= num_gpus) return;
  throw ConfigError("[cli.train] " + (written.empty() ? "--nproc" : written) + ": got " +
                    std::to_string(ranks) + ", expected at most the " + std::to_string(num_gpus) +
                    " GPUs of this machine. Give a smaller number, or --use_cpu True for CPU "
                    "ranks.");
}

/// --dry_run and --check_memory.
void tell(const Arguments& arguments, const config::Told& told, int num_gpus) {
  config::Facts facts;
  facts.has_gpu = true;  // of the machine that the run is for
  facts.reads_data = false;
  facts.reads_model = false;
  facts.environment = config::all_variables();
  auto config = config::resolve(arguments, facts);
  if (told.check_memory) train::check_memory(config.launch, std::cout);
  if (!told.dry_run) return;
  const int world = config.launch.nproc > 0 ? config.launch.nproc : std::max(1, num_gpus);
  facts.world_size = world;
  facts.hidden_size = train::hidden_size_of(config);
  config = config::resolve(arguments, facts);
  for (const auto& notice : config.notices) std::cout << "note: " << notice << '\n';
  train::dry_run(config, {world, told.device}, std::cout);
}

int code_of(train::RunEnd end) { return end == train::RunEnd::stopped ? kStoppedExitCode : 0; }

int run_rank(const train::RunInput& input) {
  if (input.task != config::Task::predict) return code_of(train::run(input));
  train::predict(input);
  return 0;
}

/// For the ranks to finish their step and save after a signal.
constexpr auto kSaveGrace = std::chrono::minutes(5);

}  // namespace

int run_train(const Arguments& arguments) {
  if (asks_for_help(arguments)) {
    std::cout << config::help_text("train");
    return 0;
  }
  if (const auto told = config::read_told(arguments); told.dry_run || told.check_memory) {
    tell(arguments, told, memory::num_cuda_devices());
    return 0;
  }
  auto words = arguments;
  words.insert(words.begin(), "train");
  return run_task(config::Task::train, arguments, words);
}

int run_task(config::Task task, const Arguments& flags, const Arguments& words) {
  // Before the driver's threads exist: these must not take the signals.
  auto signals = std::make_unique<train::StopSignals>();
  const int num_gpus = memory::num_cuda_devices();
  train::RunInput input{.arguments = flags,
                        .environment = config::all_variables(),
                        .task = task,
                        .has_gpu = num_gpus > 0,
                        .on_stuck = end_stuck,
                        .signals = signals.get()};
  config::Facts facts;
  facts.has_gpu = input.has_gpu;
  facts.environment = input.environment;
  facts.task = task;
  facts.model_names = model::model_names();
  const auto variables = config::read_environment();
  if (const auto found = variables.find(config::kTensorboardDirName); found != variables.end()) {
    input.tensorboard_logging_dir = found->second;
  }
  if (const auto rank = config::rank_environment(variables)) {
    input.rank = *rank;
    // A launcher may show each rank its own GPU only: fewer than there are ranks are no mistake.
    if (num_gpus == 0) require_gpus(config::resolve(flags, facts), rank->local_world_size, 0);
    const auto port = launch::agree_on_port(input.rank);
    const EndWithRunner watch(*rank);
    return run_rank(input);
  }
  const auto config = config::resolve(flags, facts);
  log::init(0, log::parse_level(config.run.log_level));
  launch::LaunchOptions options;
  options.nproc = num_ranks(config, num_gpus);
  require_gpus(config, options.nproc, num_gpus);
  if (options.nproc > 1) {
    options.arguments = words;
    options.stop_grace = kSaveGrace;
    signals.reset();  // the launcher has its own
    return start_ranks(options);
  }
  return run_rank(input);
}

}  // namespace zt::cli
