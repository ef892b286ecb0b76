#pragma once

#include <signal.h>

#include <chrono>

namespace zt::launch {

/// Blocks SIGCHLD, SIGINT, SIGTERM and SIGHUP in this thread and turns them into a queue.
class SignalInbox {
 public:
  /// Errors: DeviceError.
  SignalInbox();
  ~SignalInbox();
  SignalInbox(const SignalInbox&) = delete;
  SignalInbox& operator=(const SignalInbox&) = delete;

  /// Waits for a signal; 0 when none came within `timeout`.
  int wait(std::chrono::milliseconds timeout);
  /// Readable when a signal is there, for a loop that waits for other things too.
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_ = -1;
  sigset_t before_{};
};

}  // namespace zt::launch
