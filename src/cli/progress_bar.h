#pragma once

#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>

#include "base/units.h"

namespace zt::cli {

/// One line of a terminal that shows how many bytes of a tool's work are done. Writes nothing when
/// `out` is no terminal. Thread-safe.
class ProgressBar {
 public:
  ProgressBar(std::string label, std::FILE* out);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void show(Bytes done, Bytes total);

  /// `convert [#####     ]  50 %, 1.0 GiB of 2.0 GiB, 512.0 MiB/s`.
  [[nodiscard]] static std::string line(const std::string& label, Bytes done, Bytes total,
                                        double seconds);

 private:
  std::string label_;
  std::FILE* out_;  ///< null: no terminal
  std::chrono::steady_clock::time_point started_, shown_;
  std::size_t width_ = 0;  ///< of the line on the terminal
  std::mutex mutex_;
};

}  // namespace zt::cli
