#pragma once

#include <fstream>
#include <string>

#include "train/observer.h"

namespace zt::train {

/// `metrics.jsonl`: one object per optimizer step, flushed after each.
class MetricsFile : public TrainObserver {
 public:
  /// Starts the file anew. Errors: FileError when it cannot be written.
  explicit MetricsFile(std::string path);
  /// Errors: FileError when the disk refuses.
  void on_step(const StepRecord& record) override;

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace zt::train
