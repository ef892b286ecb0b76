#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/store.h"
#include "memory/worker.h"

namespace zt::train {

/// Deletes outdated checkpoints beside training and beside the next save: before anything goes, the
/// newest checkpoint is read back as a whole, for which no save has to wait. Until then the disk
/// holds more checkpoints than the limit says. One per rank; all ranks post in the same order.
class RetentionQueue {
 public:
  /// `exchange` is this queue's alone; the store outlives it.
  RetentionQueue(checkpoint::CheckpointStore& store, checkpoint::RankExchange exchange);
  /// Waits for what was posted.
  ~RetentionQueue() = default;
  RetentionQueue(const RetentionQueue&) = delete;
  RetentionQueue& operator=(const RetentionQueue&) = delete;

  /// Has CheckpointStore::apply run after those posted before. Collective, does not wait.
  void post(checkpoint::Retention retention);
  /// What was deleted since the last call, or why nothing was.
  [[nodiscard]] std::vector<std::string> take_notes();
  /// Until all that was posted is done. Errors: rethrows the first failure.
  void wait();
  [[nodiscard]] bool failed();

 private:
  void run(const checkpoint::Retention& retention);

  checkpoint::CheckpointStore& store_;
  checkpoint::RankExchange exchange_;
  std::mutex mutex_;  ///< guards everything below
  std::condition_variable changed_;
  int open_ = 0;  ///< posted and not done
  std::vector<std::string> notes_;
  std::exception_ptr error_;
  memory::Worker worker_{"retention"};  // last: joined first
};

}  // namespace zt::train
