#pragma once

#include <cstdint>

#include "config/config.h"

namespace zt::train {

/// How long a run is and when it logs and evaluates. Counts are optimizer steps unless said.
struct StepPlan {
  std::int64_t total_steps = 0;
  std::int64_t updates_per_epoch = 0;  ///< a short last window counts
  std::int64_t accumulation = 1;       ///< micro-batches of a rank per step
  std::int64_t logging_every = 1;      ///< 0: not by steps
  std::int64_t eval_every = 0;         ///< 0: not by steps
  bool logging_first_step = false;
  bool logging_by_epoch = false, eval_by_epoch = false;
  std::int64_t save_every = 0;  ///< 0: not by steps
  bool save_by_epoch = false;

  /// True when `step` (from 1) is one to log.
  [[nodiscard]] bool logs(std::int64_t step) const;
  /// True at the last step of an epoch, and of the run.
  [[nodiscard]] bool ends_epoch(std::int64_t step) const;
  /// True when an evaluation follows `step`; the last step is not one of them (the run ends with
  /// one).
  [[nodiscard]] bool evaluates(std::int64_t step) const;
  /// True when a checkpoint follows `step`; with a rule for saves the last step has one.
  [[nodiscard]] bool saves(std::int64_t step) const;
};

/// Derives the intervals from the flags: at least 1 a number of steps, below 1 a share of all
/// steps, rounded up. `total_steps` and `updates_per_epoch` come from the sampler. Errors:
/// ConfigError when the run has no step. Source: Hugging Face Trainer.
[[nodiscard]] StepPlan make_step_plan(const config::RunConfig& run, std::int64_t total_steps,
                                      std::int64_t updates_per_epoch);
/// Adds when checkpoints are saved.
void plan_saves(StepPlan& plan, const config::CheckpointConfig& checkpoint);

}  // namespace zt::train
