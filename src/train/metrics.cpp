#include "train/metrics.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

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
  line["skipped"] = record.skipped;
  return line.dump();
}

MetricsFile::MetricsFile(std::string path) : path_(std::move(path)), file_(path_, std::ios::trunc) {
  if (!file_) {
    throw FileError(fmt::format("[train.metrics] cannot write {}. Check --output_dir.", path_));
  }
}

void MetricsFile::write(const StepRecord& record) {
  file_ << to_json_line(record) << '\n' << std::flush;
  if (!file_) {
    throw FileError(fmt::format("[train.metrics] writing {} failed at step {}. Is the disk full?",
                                path_, record.step));
  }
}

}  // namespace zt::train
