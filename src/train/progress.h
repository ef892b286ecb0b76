#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "train/metrics.h"

namespace zt::train {

/// Peak bf16 rate that MFU refers to: H100/H200 SXM, dense (NVIDIA's data sheet).
inline constexpr double kMfuPeakFlops = 989.4e12;

/// What the console needs to know about a run.
struct ProgressOptions {
  std::int64_t total_steps = 0;
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
class Progress {
 public:
  /// `out` outlives the object.
  Progress(ProgressOptions options, std::FILE* out);

  /// After each step. `logged`: the step is one of --logging_steps. `elapsed`: seconds since the
  /// first step began.
  void step(const StepRecord& record, bool logged, double elapsed);
  /// Ends the bar's line, so that other text can follow.
  void end_line();

  /// The text after the bar, or of a plain line.
  [[nodiscard]] std::string describe(const StepRecord& record, double elapsed) const;

 private:
  ProgressOptions options_;
  std::FILE* out_;
  std::size_t shown_ = 0;  ///< width of the line on the terminal
};

}  // namespace zt::train
