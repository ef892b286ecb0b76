#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "launch/node_messages.h"

namespace zt::launch {

/// Lines from another launcher, read without blocking from a descriptor that stays the caller's.
class OrderReader {
 public:
  /// -1: nothing ever comes.
  explicit OrderReader(int fd);

  /// Waits for a whole line. Nothing at the end of the stream or after `timeout`.
  [[nodiscard]] std::optional<std::string> wait_line(std::chrono::milliseconds timeout);
  /// The orders that have come. Errors: CommError for a damaged one.
  [[nodiscard]] std::vector<NodeOrder> take();
  /// The other side has closed the stream, or died.
  [[nodiscard]] bool has_ended() const { return ended_; }

 private:
  void read_available();
  std::optional<std::string> next_line();

  int fd_;
  bool ended_ = false;
  std::string pending_;
};

}  // namespace zt::launch
