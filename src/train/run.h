#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/rendezvous.h"
#include "config/config.h"
#include "config/env.h"
#include "train/stop_signals.h"

namespace zt::train {

/// What one rank of `zt train` starts with.
struct RunInput {
  std::vector<std::string> arguments;  ///< of `zt train`; resolved again once the model is known
  config::RankEnvironment rank;
  std::string tensorboard_logging_dir;  ///< TENSORBOARD_LOGGING_DIR; empty: not set
  config::Variables environment;        ///< for `${NAME}` in configuration files
  config::Task task = config::Task::train;
  bool has_gpu = false;  ///< this machine has a GPU that the build can use
  /// Ends the process, with this text as its report: called on a thread of the watchdog when the
  /// run has failed and the thread that drives this rank does not come back. May be empty.
  std::function<void(const std::string&)> on_stuck;
  StopSignals* signals = nullptr;  ///< heard while the run trains; null: signals end the process
};

/// How a run ended without an error.
enum class RunEnd {
  finished,
  stopped,  ///< before its last step, by a signal or --max_train_time; its state is saved
};

/// Everything that can be wrong with the files of a run, found without a device or a peer: flags,
/// output folder, model folder. `check_output`: on the one process that owns the folder.
/// Returns the resolved configuration. Errors: ConfigError, FileError.
config::Config check_inputs(const RunInput& input, bool check_output);

/// One rank of `zt train`, from its configuration or checkpoint to the saved model. Errors: every
/// type of base/error.h; before one leaves, the other ranks have been told.
RunEnd run(const RunInput& input);

}  // namespace zt::train
