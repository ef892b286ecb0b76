#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "memory/view.h"

namespace zt::memory {

/// A list of operations that was captured once and is launched as a whole. Goes before the
/// communicators whose operations it holds.
class Graph {
 public:
  virtual ~Graph() = default;
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
};

/// When an operation ran: seconds since its list began (device clock on CUDA).
struct OperationTime {
  int index = 0, queue = 0;
  double begin = 0, end = 0;
};

/// What an operation comes after, besides those of its own queue. The spans outlive the list after.
struct After {
  std::span<const int> waits;    ///< operations of its list
  std::span<const int> carried;  ///< operations of the list before, which this list overlaps
};

/// The in-order queues that execute lists of operations: 0 compute, 1 communication, 2 host,
/// 3 download (device to host), 4 upload (host to device), 5 and 6 disk (reads and writes).
///
/// On a CPU rank queue 0 is the calling thread and the others are one thread each. On CUDA 0, 1 and
/// 3 are streams, 2, 5 and 6 are threads, and 4 is a stream that a thread feeds, so that copies
/// which wait for the host's work hold nobody up. Threads start with their first operation.
class Queues {
 public:
  virtual ~Queues() = default;
  Queues() = default;
  Queues(const Queues&) = delete;
  Queues& operator=(const Queues&) = delete;

  using Work = std::function<void(const Launch&)>;

  /// Starts a list of `count` operations, ordered after everything submitted before. `overlap`: all
  /// before but the host, download and upload operations of the list before, which may go on.
  virtual void begin(int count, bool overlap = false) = 0;
  /// Runs `work` on `queue` after the operations `after`; then operation `index` is complete.
  /// `waited_on`: some operation of another queue waits for it.
  /// Blocks the caller where queue 0, 1 or 3 waits for another one on CUDA.
  /// `work` stays alive until synchronize. Errors: rethrows the first failure of any queue.
  virtual void submit(int queue, int index, const After& after, bool waited_on,
                      const Work& work) = 0;
  /// Blocks the host until every queue is empty. Errors: rethrows the first failure.
  virtual void synchronize() = 0;
  /// The same for compute and communication only.
  virtual void synchronize_device() = 0;
  /// The same for the host's queue only.
  virtual void synchronize_host() = 0;
  /// A launch on the compute queue, for work outside of a list.
  [[nodiscard]] virtual Launch compute() const = 0;

  /// True where lists can be captured: on CUDA.
  [[nodiscard]] virtual bool can_capture() const { return false; }
  /// Captures the list of `count` operations that `issue` submits to queues 0 and 1; nothing runs.
  /// Errors: DeviceError where lists cannot be captured or an operation refuses; whatever `issue`
  /// throws. The queues stay usable.
  virtual std::unique_ptr<Graph> capture(int count, const std::function<void()>& issue);
  /// Launches a captured list, ordered after everything submitted before. Needs can_capture.
  virtual void replay(const Graph& graph);

  /// Whether lists that are submitted or captured from now on measure their operations.
  virtual void measure(bool on) = 0;
  /// Times of the last list, in the order of its operations; those without work take none. Blocks
  /// the host. Empty unless it was measured.
  virtual std::vector<OperationTime> times() = 0;
};

std::unique_ptr<Queues> make_cpu_queues();
/// Errors: DeviceError without CUDA.
std::unique_ptr<Queues> make_cuda_queues(int device_index);

}  // namespace zt::memory
