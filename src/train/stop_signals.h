#pragma once

#include <sys/types.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace zt::train {

/// SIGTERM, SIGINT and SIGUSR1 of this process as wishes that the training loop asks for between
/// steps. Made by the main thread before any other thread exists: every later thread has the
/// signals blocked, one of our own takes them.
///
/// SIGUSR1 asks for a save. SIGTERM and SIGINT end the process until `arm`; then they ask for a
/// stop, and a second one ends the process at once.
class StopSignals {
 public:
  /// Errors: DeviceError when the process has no descriptor left.
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  void arm(bool armed) { armed_ = armed; }
  /// The signal that asked for a stop since the object was made, or 0. Any thread.
  [[nodiscard]] int stop_signal() const { return stop_signal_; }
  /// True once after each SIGUSR1. Any thread.
  [[nodiscard]] bool take_save_wish() { return save_wished_.exchange(false); }

 private:
  void watch();
  void handle(int signal);

  sigset_t before_{};
  int signals_ = -1, end_ = -1;  ///< descriptors that the thread waits on
  std::atomic<bool> armed_{false}, save_wished_{false};
  std::atomic<int> stop_signal_{0};
  std::thread thread_;
};

}  // namespace zt::train
