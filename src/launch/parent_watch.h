#pragma once

#include <functional>
#include <thread>

namespace zt::launch {

/// Notices that the process which started this one has ended without a word. Our own launcher's
/// ranks die by the kernel's hand; those of MPI runners would go on for ever.
class ParentWatch {
 public:
  /// Calls `on_end`, once, on a thread of its own. Does nothing where the kernel has no pidfd
  /// (Linux before 5.3), or when the parent is the system's first process.
  explicit ParentWatch(std::function<void()> on_end);
  ~ParentWatch();
  ParentWatch(const ParentWatch&) = delete;
  ParentWatch& operator=(const ParentWatch&) = delete;

 private:
  int parent_fd_ = -1, stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace zt::launch
