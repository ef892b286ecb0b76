#pragma once

#include <cstdint>

#include "config/config.h"

namespace zt::train {

/// How long a run is and when it logs and evaluates. All counts are optimizer steps unless said.
struct StepPlan {
  std::int64_t batches_per_epoch = 0;  ///< micro-batches of one rank
  std::int64_t accumulation = 1;       ///< micro-batches per step
  std::int64_t updates_per_epoch = 0;  ///< a short last window counts
  std::int64_t total_steps = 0;
  std::int64_t logging_every = 1;
  std::int64_t eval_every = 0;  ///< 0: only at the end
  bool logging_first_step = false;

  /// Micro-batches that the update `index` (from 0) of an epoch has: `accumulation`, or fewer in
  /// the last.
  [[nodiscard]] std::int64_t window(std::int64_t index) const;
  /// Epoch shown after `step` steps (from 1): whole epochs plus the share of micro-batches seen.
  [[nodiscard]] double epoch_after(std::int64_t step) const;
  /// True when `step` (from 1) is one to log.
  [[nodiscard]] bool logs(std::int64_t step) const;
  /// True when an evaluation follows `step`; the last step is not one of them (the run ends with
  /// one).
  [[nodiscard]] bool evaluates(std::int64_t step) const;
};

/// Derives the plan from the flags.
/// Errors: ConfigError when there is not one batch per epoch, or nothing to do.
/// Source: Hugging Face Trainer; steps per epoch = ceil(batches / accumulation), total =
/// max_steps if > 0, else ceil(num_train_epochs x steps per epoch).
[[nodiscard]] StepPlan make_step_plan(const config::RunConfig& run, std::int64_t batches_per_epoch);

}  // namespace zt::train
