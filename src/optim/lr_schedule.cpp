#include "optim/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace zt::optim {
namespace {

using config::LrScheduleConfig;
using config::ScheduleKind;

/// Hugging Face: factor on the base rate after `step` applied steps.
double huggingface_factor(const LrScheduleConfig& schedule, std::int64_t total, std::int64_t step) {
  if (schedule.kind == ScheduleKind::constant) {
    return 1.0;
  }
  const std::int64_t warmup = num_warmup_steps(schedule.warmup_steps, total);
  if (step < warmup) {
    return static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, warmup));
  }
  const auto decay_steps = static_cast<double>(std::max<std::int64_t>(1, total - warmup));
  switch (schedule.kind) {
    case ScheduleKind::linear:
      return std::max(0.0, static_cast<double>(total - step) / decay_steps);
    case ScheduleKind::cosine: {
      const double progress = static_cast<double>(step - warmup) / decay_steps;
      return std::max(
          0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * schedule.num_cycles * 2.0 * progress)));
    }
    default:
      return 1.0;
  }
}

/// DeepSpeed's warm-up and decay after `step` applied steps; its own count `it` is step - 1.
struct DeepSpeedSchedule {
  const LrScheduleConfig& schedule;
  double base_lr;
  std::int64_t total, warmup, it;

  DeepSpeedSchedule(const LrScheduleConfig& schedule_in, double base_lr_in, std::int64_t run_steps,
                    std::int64_t step)
      : schedule(schedule_in),
        base_lr(base_lr_in),
        total(schedule.total_num_steps.value_or(run_steps)),
        warmup(std::max<std::int64_t>(2, schedule.warmup_num_steps.value_or(
                                             num_warmup_steps(schedule.warmup_steps, run_steps)))),
        it(step - 1) {}

  [[nodiscard]] double warmup_ratio() const {
    const auto done = static_cast<double>(it), all = static_cast<double>(warmup);
    return schedule.warmup_log ? 1.0 / std::log(all) * std::log(done + 1.0) : done / all;
  }

  [[nodiscard]] double between_min_and_max(double ratio) const {
    const double lowest = schedule.warmup_min_lr;
    return lowest + (schedule.warmup_max_lr.value_or(base_lr) - lowest) * ratio;
  }

  [[nodiscard]] double warmup_lr() const {
    return between_min_and_max(it < 0 ? 0.0 : it < warmup ? warmup_ratio() : 1.0);
  }

  [[nodiscard]] double warmup_decay_lr() const {
    if (it < warmup) {
      return warmup_lr();
    }
    const auto rest = static_cast<double>(std::max<std::int64_t>(1, total - warmup));
    return between_min_and_max(std::max(0.0, static_cast<double>(total - it) / rest));
  }

  [[nodiscard]] double warmup_cosine_lr() const {
    if (it < 0) {
      return 0.0;
    }
    if (it < warmup) {
      const double lowest = schedule.warmup_min_ratio;
      return base_lr * (lowest + (1.0 - lowest) * warmup_ratio());
    }
    const auto rest = static_cast<double>(std::max<std::int64_t>(1, total - warmup));
    const double progress = std::min(1.0, static_cast<double>(it - warmup + 1) / rest);
    const double cosine = (1.0 + std::cos(std::numbers::pi * progress)) / 2.0;
    const double lowest = schedule.cos_min_ratio;
    return base_lr * std::max(0.0, lowest + (1.0 - lowest) * cosine);
  }
};

}  // namespace

std::int64_t num_warmup_steps(double warmup_steps, std::int64_t total_steps) {
  return static_cast<std::int64_t>(
      warmup_steps >= 1.0 ? warmup_steps
                          : std::ceil(static_cast<double>(total_steps) * warmup_steps));
}

double learning_rate(const LrScheduleConfig& schedule, double base_lr, std::int64_t total_steps,
                     std::int64_t steps_applied) {
  const DeepSpeedSchedule deepspeed(schedule, base_lr, total_steps, steps_applied);
  switch (schedule.kind) {
    case ScheduleKind::constant:
    case ScheduleKind::constant_with_warmup:
    case ScheduleKind::linear:
    case ScheduleKind::cosine:
      return base_lr * huggingface_factor(schedule, total_steps, steps_applied);
    case ScheduleKind::ds_warmup:
      return deepspeed.warmup_lr();
    case ScheduleKind::ds_warmup_decay:
      return deepspeed.warmup_decay_lr();
    case ScheduleKind::ds_warmup_cosine:
      return deepspeed.warmup_cosine_lr();
  }
  throw_assertion(__FILE__, __LINE__, "known kind", "unknown schedule kind");
  return 0;
}

}  // namespace zt::optim
