#pragma once

#include <string>

#include "config/config.h"
#include "train/observer.h"
#include "train/step_plan.h"
#include "train/trainer_state.h"

namespace zt::train {

/// Facts for the files and curves of a run that its configuration does not hold.
struct OutputFacts {
  StepPlan plan;
  std::int64_t resumed_step = 0;  ///< files that grow keep what they have up to this step
  int world = 1;
  bool on_gpu = false;
  double flops_per_token = 0;       ///< forward and backward, as MFU counts them
  double total_flos_per_token = 0;  ///< as Hugging Face's total_flos counts them
  std::string environment_log_dir;  ///< TENSORBOARD_LOGGING_DIR; --logging_dir wins
  std::string model_config;         ///< text of the model's config.json
};

/// What rank 0 writes and shows while a run goes on.
struct Outputs {
  Observers observers;
  TrainerState* state = nullptr;  ///< one of `observers`; null in a run that only evaluates
};

/// Opens console, metrics.jsonl, trainer_state.json and the curves of --report_to. Rank 0 only.
/// Errors: FileError when a file cannot be written.
[[nodiscard]] Outputs open_outputs(const config::Config& config, const OutputFacts& facts);

/// The run's flags with their values, for the text tab of TensorBoard. Indent 2.
[[nodiscard]] std::string args_json(const config::Config& config);

}  // namespace zt::train
