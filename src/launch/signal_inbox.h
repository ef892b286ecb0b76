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

 private:
  int fd_ = -1;
  sigset_t before_{};
};

}  // namespace zt::launch
