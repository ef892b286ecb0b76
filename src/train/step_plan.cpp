#include "train/step_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace zt::train {
namespace {

std::int64_t by_steps(config::Interval strategy, double value, std::int64_t total) {
  if (strategy != config::Interval::steps || value <= 0) return 0;
  const double steps = value < 1 ? std::ceil(static_cast<double>(total) * value) : value;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(steps));
}

}  // namespace

bool StepPlan::logs(std::int64_t step) const {
  if (step == 1 && logging_first_step) return true;
  if (logging_by_epoch) return ends_epoch(step);
  return logging_every > 0 && step % logging_every == 0;
}

bool StepPlan::ends_epoch(std::int64_t step) const {
  return step == total_steps || (updates_per_epoch > 0 && step % updates_per_epoch == 0);
}

bool StepPlan::evaluates(std::int64_t step) const {
  if (step == total_steps) return false;
  if (eval_by_epoch) return ends_epoch(step);
  return eval_every > 0 && step % eval_every == 0;
}

bool StepPlan::saves(std::int64_t step) const {
  if (save_by_epoch) return ends_epoch(step);
  return save_every > 0 && (step % save_every == 0 || step == total_steps);
}

void plan_saves(StepPlan& plan, const config::CheckpointConfig& checkpoint) {
  using config::SaveStrategy;
  plan.save_by_epoch = checkpoint.save_strategy == SaveStrategy::epoch;
  plan.save_every = checkpoint.save_strategy == SaveStrategy::steps
                        ? by_steps(config::Interval::steps, checkpoint.save_steps, plan.total_steps)
                        : 0;
}

StepPlan make_step_plan(const config::RunConfig& run, std::int64_t total_steps,
                        std::int64_t updates_per_epoch) {
  if (total_steps < 1) {
    throw ConfigError(
        fmt::format("[train.steps] the run has no step: got num_train_epochs {} and max_steps {}, "
                    "expected one of them above 0.",
                    run.num_train_epochs, run.max_steps));
  }
  return {.total_steps = total_steps,
          .updates_per_epoch = updates_per_epoch,
          .accumulation = run.gradient_accumulation_steps,
          .logging_every = by_steps(run.logging_strategy, run.logging_steps, total_steps),
          .eval_every = by_steps(run.eval_strategy, run.eval_steps, total_steps),
          .logging_first_step = run.logging_first_step,
          .logging_by_epoch = run.logging_strategy == config::Interval::epoch,
          .eval_by_epoch = run.eval_strategy == config::Interval::epoch};
}

}  // namespace zt::train
