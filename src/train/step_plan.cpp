#include "train/step_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace zt::train {
namespace {

/// `--x_steps`: below 1 a share of all steps, rounded up; else a number of steps.
std::int64_t interval(double value, std::int64_t total) {
  if (value <= 0) return 0;
  const double steps = value < 1 ? std::ceil(static_cast<double>(total) * value) : value;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(steps));
}

}  // namespace

std::int64_t StepPlan::window(std::int64_t index) const {
  return std::min(accumulation, batches_per_epoch - index * accumulation);
}

double StepPlan::epoch_after(std::int64_t step) const {
  const std::int64_t epochs = (step - 1) / updates_per_epoch;
  const std::int64_t updates = step - epochs * updates_per_epoch;
  const std::int64_t batches = std::min(updates * accumulation, batches_per_epoch);
  return static_cast<double>(epochs) +
         static_cast<double>(batches) / static_cast<double>(batches_per_epoch);
}

bool StepPlan::logs(std::int64_t step) const {
  if (step == 1 && logging_first_step) return true;
  return logging_every > 0 && step % logging_every == 0;
}

bool StepPlan::evaluates(std::int64_t step) const {
  return eval_every > 0 && step % eval_every == 0 && step != total_steps;
}

StepPlan make_step_plan(const config::RunConfig& run, std::int64_t batches_per_epoch) {
  if (batches_per_epoch < 1) {
    throw ConfigError(
        "[train.steps] the training data gives no complete batch per rank: got 0 batches, expected "
        "at "
        "least 1. Use more data, a smaller --block_size, or leave --dataloader_drop_last off.");
  }
  StepPlan plan;
  plan.batches_per_epoch = batches_per_epoch;
  plan.accumulation = run.gradient_accumulation_steps;
  plan.updates_per_epoch = (batches_per_epoch + plan.accumulation - 1) / plan.accumulation;
  plan.total_steps = run.max_steps > 0
                         ? run.max_steps
                         : static_cast<std::int64_t>(std::ceil(
                               run.num_train_epochs * static_cast<double>(plan.updates_per_epoch)));
  if (plan.total_steps < 1) {
    throw ConfigError(
        fmt::format("[train.steps] the run has no step: got num_train_epochs {} and max_steps {}, "
                    "expected one of "
                    "them above 0.",
                    run.num_train_epochs, run.max_steps));
  }
  plan.logging_every = interval(run.logging_steps, plan.total_steps);
  plan.eval_every = interval(run.eval_steps, plan.total_steps);
  plan.logging_first_step = run.logging_first_step;
  return plan;
}

}  // namespace zt::train
