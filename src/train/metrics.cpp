#include "train/metrics.h"

#include <nlohmann/json.hpp>

namespace zt::train {

std::string to_json_line(const StepRecord& record) {
  nlohmann::ordered_json line;  // nlohmann writes NaN and infinity as null
  line["step"] = record.step;
  line["epoch"] = record.epoch;
  line["loss"] = record.loss;
  line["grad_norm"] = record.grad_norm;
  line["learning_rate"] = record.learning_rate;
  line["tokens"] = record.tokens;
  line["tokens_per_second"] = record.tokens_per_second;
  line["peak_memory"] = record.peak_memory.value;
  if (record.save_blocked_seconds > 0) line["save_blocked_seconds"] = record.save_blocked_seconds;
  line["skipped"] = record.skipped;
  if (record.loss_scale > 0) line["loss_scale"] = record.loss_scale;
  return line.dump();
}

}  // namespace zt::train
