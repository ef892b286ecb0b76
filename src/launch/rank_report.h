#pragma once

#include <string>

namespace zt::launch {

/// Where one rank leaves why it failed, in the form of torchrun's TORCHELASTIC_ERROR_FILE. Lies in
/// memory and is inherited by the rank.
class RankReport {
 public:
  /// Errors: DeviceError.
  RankReport();
  ~RankReport();
  RankReport(RankReport&& other) noexcept;
  RankReport(const RankReport&) = delete;
  RankReport& operator=(const RankReport&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  /// The message, or nothing when the rank left none.
  [[nodiscard]] std::string message() const;

 private:
  int fd_ = -1;
};

/// Writes a report to `path` (TORCHELASTIC_ERROR_FILE): our launcher and torchrun show its message.
/// A file that cannot be written is left out silently: the error itself is reported elsewhere.
void write_report(const std::string& path, const std::string& message);

}  // namespace zt::launch
