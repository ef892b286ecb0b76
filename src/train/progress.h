#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "train/observer.h"

namespace zt::train {

/// Peak bf16 rate that MFU refers to: H100/H200 SXM, dense (NVIDIA's data sheet).
inline constexpr double kMfuPeakFlops = 989.4e12;

/// What the console needs to know about a run.
struct ProgressOptions {
  std::int64_t total_steps = 0;
  std::int64_t resumed_step = 0;  ///< last step before this process began
  double flops_per_token =
      0;  ///< forward and backward; MFU = flops_per_token x tokens/s / world / peak
  int world = 1;
  bool show_mfu = false;  ///< GPU only
  bool terminal = false;  ///< stdout is a terminal and --disable_tqdm is off: one line, rewritten
};

/// `1:02:03`, `2:03`.
[[nodiscard]] std::string format_duration(double seconds);
/// `1.23M`, `45.6k`, `789`: three significant digits.
[[nodiscard]] std::string format_count(double count);

/// Shows the run on rank 0's console: a bar on a terminal, else one line per logged step.
class Progress : public TrainObserver {
 public:
  /// `out` outlives the object.
  Progress(ProgressOptions options, std::FILE* out);

  void on_step(const StepRecord& record) override;
  void on_log(const LogRecord& record) override;
  void on_evaluate(const StepRecord& step, const EvalResult& result) override;
  void on_save(std::int64_t step, const std::string& folder) override;
  void on_end(const TrainResult& result) override;

  /// The text after the bar, or of a plain line.
  [[nodiscard]] std::string describe(const StepRecord& record) const;

 private:
  /// Ends the bar's line, so that other text can follow.
  void end_line();

  ProgressOptions options_;
  std::FILE* out_;
  std::size_t shown_ = 0;  ///< width of the line on the terminal
};

}  // namespace zt::train
