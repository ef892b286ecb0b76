#pragma once

#include <string>

#include "config/config.h"
#include "optim/loss_scaler_state.h"

namespace zt::optim {

/// The factor on the loss of fp16 training, as DeepSpeed's ZeRO optimizers choose it at every
/// stage.
///
/// Dynamic (`loss_scale` 0): starts at 2^initial_scale_power. An overflow uses up one of
/// `hysteresis`; at the last one the scale halves, but not below `min_loss_scale`. The scale
/// doubles after every `loss_scale_window` clean steps; that, or with `consecutive_hysteresis` any
/// clean step, refills the hysteresis. A halving does not. There is no upper bound. Static
/// (`loss_scale` > 0): constant; steps that overflow are skipped all the same. Source: DeepSpeed's
/// DynamicLossScaler.
class LossScaler {
 public:
  explicit LossScaler(const config::PrecisionConfig& precision);

  /// The factor on the loss of the coming step.
  [[nodiscard]] double scale() const { return state_.scale; }
  [[nodiscard]] bool dynamic() const { return dynamic_; }
  /// Once after every optimizer step that was tried. `cause`: what overflowed, for the error.
  /// Errors: Error when the scale has to fall and is at its minimum already; nothing changes then.
  void update(bool overflow, const std::string& cause = {});

  /// What a checkpoint keeps.
  [[nodiscard]] LossScalerState state() const { return state_; }
  /// Goes on from a checkpoint. A static scale stays the configured one.
  /// Errors: CheckpointError when a value is not one that a scaler can have.
  void set_state(const LossScalerState& state);

 private:
  void lower(const std::string& cause);

  bool dynamic_;
  std::int64_t window_;
  int hysteresis_;
  bool refill_on_clean_;
  double minimum_;
  LossScalerState state_;
};

}  // namespace zt::optim
