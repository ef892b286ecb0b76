#pragma once

#include <functional>

#include "checkpoint/deepspeed_write.h"
#include "config/config.h"
#include "zero/engine.h"

namespace zt::train {

/// How a run's checkpoints are written in DeepSpeed's layout: for the same number of ranks, stage,
/// dtype and optimizer, so that the run goes on there with the same configuration. Stage 0 is
/// written as stage 1. `learning_rate`: of the step that follows so many applied ones.
[[nodiscard]] checkpoint::DeepSpeedSave deepspeed_save(
    const config::Config& config, const zero::EngineOptions& options, int world,
    const checkpoint::RunState& state,
    const std::function<double(std::int64_t applied_steps)>& learning_rate);

}  // namespace zt::train
