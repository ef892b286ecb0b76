#include "train/metrics_file.h"

#include <fmt/format.h>

#include "base/error.h"

namespace zt::train {

MetricsFile::MetricsFile(std::string path) : path_(std::move(path)), file_(path_, std::ios::trunc) {
  if (!file_) {
    throw FileError(fmt::format("[train.metrics] cannot write {}. Check --output_dir.", path_));
  }
}

void MetricsFile::on_step(const StepRecord& record) {
  file_ << to_json_line(record) << '\n' << std::flush;
  if (!file_) {
    throw FileError(fmt::format("[train.metrics] writing {} failed at step {}. Is the disk full?",
                                path_, record.step));
  }
}

}  // namespace zt::train
