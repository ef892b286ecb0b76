#pragma once

#include <fstream>
#include <functional>
#include <string>

#include "train/log_values.h"

namespace zt::train {

/// `loss` > `train/loss`, `eval_loss` > `eval/loss`. Source: transformers rewrite_logs.
[[nodiscard]] std::string curve_tag(const std::string& name);

/// `runs/Nov21_08-30-00_host` with local time, as Hugging Face and PyTorch name the folder of a
/// run.
[[nodiscard]] std::string default_logging_dir(double wall_time);

/// Seconds since 1970.
using WallClock = std::function<double()>;
[[nodiscard]] double wall_seconds();

/// A TensorBoard event file with the curves of a run: what is logged, evaluations, the totals at
/// the end. Every log is flushed, so a killed run leaves a file that is readable up to its last
/// log.
class TensorBoard : public TrainObserver {
 public:
  /// Creates `folder` and a file of its own inside. Errors: FileError.
  explicit TensorBoard(const std::string& folder, WallClock clock = wall_seconds);

  /// A page of the text tab: `args`, `model_config`. Errors: FileError.
  void add_text(const std::string& tag, const std::string& text);

  void on_log(const LogRecord& record) override;
  void on_evaluate(const StepRecord& step, const EvalResult& result) override;
  void on_end(const TrainResult& result) override;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void add(const LogValues& values, std::int64_t step);
  void flush();

  WallClock clock_;
  std::string path_;
  std::ofstream file_;
};

}  // namespace zt::train
