#pragma once

#include <cstdint>

#include "train/observer.h"

namespace zt::train {

/// Collects the losses between two logs. The mean is that of Hugging Face's Trainer: the step
/// losses since the last log over their count.
class LogWindow {
 public:
  /// `skip_nonfinite` (--logging_nan_inf_filter): the mean is over finite losses alone.
  explicit LogWindow(bool skip_nonfinite = true) : skip_nonfinite_(skip_nonfinite) {}

  void add(const StepRecord& record);
  /// The record to log after `last`, and a new window.
  [[nodiscard]] LogRecord take(const StepRecord& last);

 private:
  bool skip_nonfinite_;
  double loss_sum_ = 0;
  std::int64_t steps_ = 0;
};

}  // namespace zt::train
