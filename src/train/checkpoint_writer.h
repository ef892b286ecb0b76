#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/deepspeed_write.h"
#include "checkpoint/native_save.h"
#include "checkpoint/store.h"
#include "train/retention_queue.h"
#include "zero/engine.h"

namespace zt::train {

/// A checkpoint that was published.
struct SavedCheckpoint {
  std::int64_t step = 0;
  std::string folder;
  double seconds = 0;              ///< from its begin to its publication
  std::vector<std::string> notes;  ///< what was written besides
};

struct CheckpointWriterOptions {
  checkpoint::NativeSaveOptions save;  ///< all but run_state
  bool async = false;                  ///< write from a snapshot, beside training
  /// Settings of the same checkpoint in DeepSpeed's layout, written behind it; empty: not written.
  std::function<checkpoint::DeepSpeedSave(const checkpoint::RunState& state)> deepspeed;
};

/// Saves this rank's part of the run, on the calling thread or on one of its own. All ranks call
/// the same functions in the same order. Host memory: the snapshot (async) or staging buffers.
class CheckpointWriter {
 public:
  /// `save` and `retain` are this writer's alone; engine and store outlive it. An asynchronous
  /// writer reserves the snapshot's memory here.
  CheckpointWriter(zero::Engine& engine, checkpoint::CheckpointStore& store,
                   checkpoint::RankExchange save, checkpoint::RankExchange retain,
                   CheckpointWriterOptions options);
  /// Waits for a save under way; its error is lost (it was reported by `failed` before).
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Saves `state` and then deletes what `retention` lets go. Async: waits for the save before (not
  /// for its deletions), starts and returns. Collective. Errors: CheckpointError, CommError; those
  /// of an asynchronous save leave the next save, take_finished or wait.
  void save(checkpoint::RunState state, checkpoint::Retention retention);
  /// Results of saves that ended since the last call. Errors: of a save that failed.
  [[nodiscard]] std::vector<SavedCheckpoint> take_finished();
  /// Lines about deleted checkpoints since the last call (rank 0).
  [[nodiscard]] std::vector<std::string> take_notes() { return retention_.take_notes(); }
  /// Waits for a save under way and for deletions. Errors: of a save or deletion that failed.
  void wait();
  /// True when a save or a deletion has failed in the background and nobody was told yet.
  [[nodiscard]] bool failed() { return failed_ || retention_.failed(); }
  /// Seconds that training has waited for saves since the last call.
  [[nodiscard]] double take_blocked_seconds();

 private:
  SavedCheckpoint write(checkpoint::RunState state, checkpoint::Retention retention,
                        zero::StateSnapshot* snapshot);
  /// The published checkpoint once more, in DeepSpeed's layout. Returns lines for the log.
  std::vector<std::string> write_deepspeed(const std::string& folder);
  void collect();

  zero::Engine& engine_;
  checkpoint::RankExchange exchange_;
  CheckpointWriterOptions options_;
  RetentionQueue retention_;
  std::vector<SavedCheckpoint> finished_;
  double blocked_ = 0;
  std::atomic<bool> failed_{false};
  std::future<SavedCheckpoint> running_;  ///< last: ends before what it uses
};

}  // namespace zt::train
