#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "train/observer.h"

namespace zt::train {

/// Step and loss of the lines of a metrics.jsonl behind step `after` up to step `last`; none when
/// they are not all there.
[[nodiscard]] std::vector<StepRecord> read_losses(const std::string& path, std::int64_t after,
                                                  std::int64_t last);

/// `metrics.jsonl`: one object per optimizer step, flushed after each.
class MetricsFile : public TrainObserver {
 public:
  /// Starts the file anew, or behind the lines of the steps up to `resumed_step`.
  /// Errors: FileError when it cannot be written.
  explicit MetricsFile(std::string path, std::int64_t resumed_step = 0);
  /// Errors: FileError when the disk refuses.
  void on_step(const StepRecord& record) override;

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace zt::train
