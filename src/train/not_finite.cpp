#include "train/not_finite.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace zt::train {

double without_sign_of_nan(double value) {
  return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value;
}

std::string loss_warning(const StepRecord& record) {
  if (record.skipped || std::isfinite(record.loss)) return "";
  return fmt::format(
      "step {}: the loss is not finite: got {}, expected a number; the gradients are finite, so "
      "the step was applied. Check the data, or lower --learning_rate.",
      record.step, without_sign_of_nan(record.loss));
}

std::string evaluation_warning(std::int64_t step, const EvalResult& result) {
  if (std::isfinite(result.loss)) return "";
  const auto when = step > 0 ? fmt::format("step {}: ", step) : std::string();
  return fmt::format(
      "{}the loss of the evaluation is not finite: got {}, expected a number; these weights do not "
      "work. Go back to an earlier checkpoint and lower --learning_rate, or use --bf16 in place of "
      "--fp16.",
      when, without_sign_of_nan(result.loss));
}

}  // namespace zt::train
