#pragma once

#include <cstdint>

#include "config/config.h"

namespace zt::optim {

/// Learning rate of the step that follows `steps_applied` applied steps (skipped steps do not
/// count). Pure; the same double arithmetic as transformers' schedulers and DeepSpeed's.
///
/// Hugging Face kinds: the first step of a warm-up has rate 0. DeepSpeed kinds: before the first
/// applied step the constructor's rate holds, so WarmupLR runs its first two steps at the minimum.
/// Absent values: `warmup_max_lr` is `base_lr`, `warmup_num_steps` is the run's warm-up, and
/// `total_num_steps` is `total_steps`.
/// Source: transformers/optimization.py; deepspeed/runtime/lr_schedules.py.
double learning_rate(const config::LrScheduleConfig& schedule, double base_lr,
                     std::int64_t total_steps, std::int64_t steps_applied);

/// `warmup_steps` as a count: itself (whole part) when >= 1, else the share of `total_steps`,
/// rounded up.
std::int64_t num_warmup_steps(double warmup_steps, std::int64_t total_steps);

}  // namespace zt::optim
