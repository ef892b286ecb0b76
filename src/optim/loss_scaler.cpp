#include "optim/loss_scaler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace zt::optim {
namespace {

constexpr double kFactor = 2;

}  // namespace

LossScaler::LossScaler(const config::PrecisionConfig& precision)
    : dynamic_(precision.loss_scale == 0),
      window_(precision.loss_scale_window),
      hysteresis_(precision.hysteresis),
      refill_on_clean_(precision.consecutive_hysteresis),
      minimum_(precision.min_loss_scale) {
  state_.scale = dynamic_ ? std::ldexp(1.0, precision.initial_scale_power) : precision.loss_scale;
  state_.hysteresis = hysteresis_;
}

void LossScaler::lower(const std::string& cause) {
  if (state_.scale == minimum_) {
    throw Error(fmt::format(
        "[optim.loss_scaler] step {}: gradients overflow at the smallest loss scale: got scale {}, "
        "expected more than fp16.min_loss_scale {} ({}). Lower --learning_rate, check the data, or "
        "use --bf16 True.",
        state_.iteration + 1, state_.scale, minimum_, cause.empty() ? "no place known" : cause));
  }
  state_.scale = std::max(state_.scale / kFactor, minimum_);
}

void LossScaler::update(bool overflow, const std::string& cause) {
  if (!dynamic_) return;
  if (overflow) {
    if (hysteresis_ == 1 || state_.hysteresis == 1) {
      lower(cause);
    } else {
      --state_.hysteresis;
    }
    state_.last_overflow_iter = state_.iteration;
  } else {
    if (refill_on_clean_) state_.hysteresis = hysteresis_;
    const auto clean = state_.iteration - state_.last_overflow_iter - 1;  // before this step
    if (clean > 0 && clean % window_ == 0) {
      state_.hysteresis = hysteresis_;
      state_.scale *= kFactor;
    }
  }
  ++state_.iteration;
}

void LossScaler::set_state(const LossScalerState& state) {
  if (!(std::isfinite(state.scale) && state.scale > 0) || state.iteration < 0 ||
      state.last_overflow_iter < -1 ||
      state.last_overflow_iter >= std::max<std::int64_t>(state.iteration, 1) ||
      state.hysteresis < 1) {
    throw CheckpointError(
        fmt::format("[optim.loss_scaler] a loss scaler cannot have this state: got scale {}, "
                    "iteration {}, last "
                    "overflow {}, hysteresis {}, expected a positive scale, an overflow before the "
                    "iteration and "
                    "hysteresis of at least 1. The checkpoint is damaged.",
                    state.scale, state.iteration, state.last_overflow_iter, state.hysteresis));
  }
  if (dynamic_) state_ = state;
}

}  // namespace zt::optim
