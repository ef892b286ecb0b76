#pragma once

#include <atomic>
#include <vector>

#include "memory/view.h"
#include "memory/worker.h"

namespace zt::memory {

/// Copies planned memory away while the rank goes on computing: one thread, and on CUDA a stream of
/// its own. The caller keeps the sources unchanged until `wait` has returned.
class BackgroundCopy {
 public:
  struct Pair {
    View from, to;  ///< equal sizes; any two places of the rank
  };

  /// `device_index`: the rank's CUDA device; ignored on the CPU.
  BackgroundCopy(Device device, int device_index);
  /// Waits for copies under way.
  ~BackgroundCopy();
  BackgroundCopy(const BackgroundCopy&) = delete;
  BackgroundCopy& operator=(const BackgroundCopy&) = delete;

  /// Starts copying `pairs` in order. Everything that wrote the sources is complete. Errors:
  /// InternalError when earlier copies were not waited for.
  void start(std::vector<Pair> pairs);
  /// Blocks until all copies are done; returns at once when none were started. Thread-safe.
  /// Errors: rethrows what failed.
  void wait();

 private:
  void copy_all();

  Device device_;
  int device_index_;
  void* stream_ = nullptr;  ///< CUDA only; made by the first copy
  std::vector<Pair> pairs_;
  Progress progress_;
  std::atomic<bool> started_{false};
  Worker worker_{"zt-copy"};  // last: joined first
};

}  // namespace zt::memory
