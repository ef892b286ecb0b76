#include "train/log_window.h"

#include <cmath>
#include <limits>

namespace zt::train {

void LogWindow::add(const StepRecord& record) {
  if (skip_nonfinite_ && !std::isfinite(record.loss)) return;
  loss_sum_ += record.loss;
  ++steps_;
}

LogRecord LogWindow::take(const StepRecord& last) {
  const double mean = steps_ > 0 ? loss_sum_ / static_cast<double>(steps_)
                                 : std::numeric_limits<double>::quiet_NaN();
  loss_sum_ = 0;
  steps_ = 0;
  return {.step = last, .loss = mean};
}

}  // namespace zt::train
