#include "train/log_values.h"

#include <cmath>
#include <cstdlib>

namespace zt::train {
namespace {

double per_second(std::int64_t count, double seconds) {
  return seconds > 0 ? rounded(static_cast<double>(count) / seconds, 3) : 0.0;
}

}  // namespace

double rounded(double value, int decimals) {
  if (!std::isfinite(value)) return value;
  char text[400];  // 309 digits before the point, and the decimals
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return std::strtod(text, nullptr);
}

LogValues history_values(const LogRecord& record) {
  return {{"loss", record.loss},
          {"grad_norm", record.step.grad_norm},
          {"learning_rate", record.step.learning_rate},
          {"epoch", record.step.epoch}};
}

LogValues history_values(const EvalResult& result, double epoch) {
  return {{"eval_loss", result.loss},
          {"eval_runtime", rounded(result.seconds, 4)},
          {"eval_samples_per_second", per_second(result.samples, result.seconds)},
          {"eval_steps_per_second", per_second(result.batches, result.seconds)},
          {"epoch", epoch}};
}

LogValues history_values(const TrainResult& result) {
  return {
      {"train_runtime", rounded(result.seconds, 4)},
      {"train_samples_per_second",
       per_second(result.samples_seen - result.resumed_samples, result.seconds)},
      {"train_steps_per_second", per_second(result.steps - result.resumed_step, result.seconds)},
      {"total_flos", result.flops},
      {"train_loss", result.mean_loss},
      {"epoch", result.epoch}};
}

LogValues curve_values(const LogRecord& record) {
  auto values = history_values(record);
  if (record.step.loss_scale > 0) values.push_back({"loss_scale", record.step.loss_scale});
  return values;
}

LogValues curve_values(const EvalResult& result, double epoch) {
  auto values = history_values(result, epoch);
  values.push_back({"eval_perplexity", perplexity(result.loss)});
  return values;
}

}  // namespace zt::train
