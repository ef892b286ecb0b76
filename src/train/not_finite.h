#pragma once

#include <string>

#include "train/metrics.h"
#include "train/results.h"

namespace zt::train {

/// NaN without the sign that arithmetic left it: logs read `nan`, never `-nan`.
[[nodiscard]] double without_sign_of_nan(double value);

/// What to tell of a step that was applied although its loss is no number; empty: nothing. (A
/// step whose gradients are not finite is skipped, and its warning says so.)
[[nodiscard]] std::string loss_warning(const StepRecord& record);

/// What to tell of an evaluation whose loss is no number; empty: nothing. `step` 0: before
/// training.
[[nodiscard]] std::string evaluation_warning(std::int64_t step, const EvalResult& result);

}  // namespace zt::train
