#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/units.h"
#include "memory/host_topology.h"

namespace zt::memory {

/// The threads that work on host memory (optimizer, gradient sums, first touch of pages), kept for
/// the whole run, each bound to the processors of one NUMA node.
///
/// Work is cut into chunks. The threads of the k-th node begin with the k-th part of the chunks (in
/// proportion to threads per node) and take over what other nodes have left when theirs is done, so
/// memory that `touch` placed is worked on by the node it lies on.
/// Thread: calls from several threads follow one another.
class HostPool {
 public:
  /// `threads` 0: default_host_threads.
  explicit HostPool(HostTopology share, int threads = 0);
  ~HostPool();
  HostPool(const HostPool&) = delete;
  HostPool& operator=(const HostPool&) = delete;

  [[nodiscard]] int num_threads() const { return static_cast<int>(threads_.size()); }
  [[nodiscard]] const HostTopology& share() const { return share_; }

  /// Calls body(chunk) once for every chunk of [0, chunks); blocks until all are done. Which thread
  /// takes a chunk is not fixed: results must not depend on it. Errors: rethrows the first failure.
  void run(std::int64_t chunks, const std::function<void(std::int64_t)>& body);

  /// Makes the pages of fresh anonymous memory appear on the node whose threads `run` gives that
  /// part of the memory to. Contents stay.
  void touch(void* base, Bytes size);

 private:
  struct Job;
  void work(std::size_t node, const std::vector<int>& cpus);
  void take_chunks(std::size_t node, Job& job);

  HostTopology share_;
  std::vector<int> threads_of_node_;
  std::mutex caller_;  ///< held by the thread whose job runs
  std::mutex mutex_;   ///< guards job_, generation_, stop_ and the job's counts
  std::condition_variable changed_;
  std::unique_ptr<Job> job_;
  std::uint64_t generation_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

/// Threads of a pool when none are named: those that the share names, else one per core, within the
/// cgroup's quota.
int default_host_threads(const HostTopology& share);

}  // namespace zt::memory
