#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/store.h"
#include "memory/worker.h"

namespace zt::train {

/// Deletes outdated checkpoints beside training. Nothing goes before a newer checkpoint has been
/// read back and found whole; the last one that was stays whatever the limit says, and so does the
/// newest. The reading gives way to saves: a disk that is busy with saves alone reads back seldom,
/// and holds up to two checkpoints more than the limit (before the first was found whole also those
/// of ten seconds). One per rank; all ranks post in the same
/// order.
class RetentionQueue {
 public:
  /// `exchange` is this queue's alone; the store outlives it.
  RetentionQueue(checkpoint::CheckpointStore& store, checkpoint::RankExchange exchange);
  /// Waits for what was posted.
  ~RetentionQueue() = default;
  RetentionQueue(const RetentionQueue&) = delete;
  RetentionQueue& operator=(const RetentionQueue&) = delete;

  /// While it lives, a save is under way and the disk is its own.
  class SaveUnderWay {
   public:
    explicit SaveUnderWay(RetentionQueue& queue) : queue_(queue) { queue_.set_saving(true); }
    ~SaveUnderWay() { queue_.set_saving(false); }
    SaveUnderWay(const SaveUnderWay&) = delete;
    SaveUnderWay& operator=(const SaveUnderWay&) = delete;

   private:
    RetentionQueue& queue_;
  };
  /// A checkpoint was published, and this is to stay from now on: deletes what goes if an older
  /// checkpoint is known to be whole, and has the newest read back. Collective, does not wait.
  void post(checkpoint::Retention retention);
  /// What was deleted since the last call (rank 0), or why nothing was.
  [[nodiscard]] std::vector<std::string> take_notes();
  /// Until all that was posted is done. Errors: rethrows the first failure.
  void wait();
  [[nodiscard]] bool failed();

 private:
  struct State {
    int posted = 0, done = 0;
    bool saving = false;
    checkpoint::Retention retention;  ///< the last one posted
    std::string whole;                ///< read back last and found whole; empty: none yet
    std::string checked;              ///< being read back; empty: none
    std::vector<std::string> notes;
    std::exception_ptr error;
  };

  void set_saving(bool saving);
  void run(int index);
  /// The checkpoint to read back for post `index`; empty: nothing to do. Equal on all ranks.
  std::string choose(int index);
  void check(const std::string& folder);
  /// Waits while a save is under way, for `patience` at most, which it shortens.
  void give_way(std::chrono::steady_clock::duration& patience);
  /// Rank 0: deletes what the retention posted last lets go, but for `whole` and `checked`.
  void remove();

  checkpoint::CheckpointStore& store_;
  checkpoint::RankExchange exchange_;
  std::mutex mutex_;  ///< guards state_
  std::condition_variable changed_;
  State state_;
  std::mutex removing_;                 ///< held while folders are deleted; taken before mutex_
  memory::Worker worker_{"retention"};  // last: joined first
};

}  // namespace zt::train
