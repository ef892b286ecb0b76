#pragma once

#include <string>
#include <vector>

#include "train/observer.h"

namespace zt::train {

/// One value of a log entry under its name in Hugging Face's Trainer: `loss`, `eval_loss`.
struct LogValue {
  std::string name;
  double value = 0;
};
using LogValues = std::vector<LogValue>;

// The entries of `log_history` without their step. Run times have 4 decimals, rates 3. Source:
// transformers Trainer.log, speed_metrics.

/// loss, grad_norm, learning_rate, epoch.
[[nodiscard]] LogValues history_values(const LogRecord& record);
/// eval_loss, eval_runtime, eval_samples_per_second, eval_steps_per_second, epoch.
[[nodiscard]] LogValues history_values(const EvalResult& result, double epoch);
/// The entry that ends a run: train_runtime, rates, total_flos, train_loss, epoch.
[[nodiscard]] LogValues history_values(const TrainResult& result);

// What curves show besides.

/// With loss_scale in fp16 runs.
[[nodiscard]] LogValues curve_values(const LogRecord& record);
/// With eval_perplexity.
[[nodiscard]] LogValues curve_values(const EvalResult& result, double epoch);

/// `value` with so many decimals, as Python's round gives it.
[[nodiscard]] double rounded(double value, int decimals);

}  // namespace zt::train
