#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/exchange.h"

namespace zt::checkpoint {

/// A published folder `checkpoint-<step>`.
struct CheckpointFolder {
  std::int64_t step = 0;
  std::string path;
};

/// All `checkpoint-N` folders of a directory, newest first, whatever they hold. An unreadable or
/// missing directory has none.
[[nodiscard]] std::vector<CheckpointFolder> list_checkpoints(const std::string& output_dir);

/// The newest checkpoint that verifies.
struct Resumable {
  std::string folder;                ///< empty: there is none
  std::vector<std::string> skipped;  ///< one line per newer one: which and why
};

/// Looks from the newest to the oldest, the ranks sharing the reading; equal on all ranks.
/// Collective.
[[nodiscard]] Resumable find_resumable(const std::string& output_dir, const RankExchange& exchange);
/// The same for one named folder. Errors: CheckpointError on all ranks listing what is wrong, the
/// first twenty of it.
void require_whole(const std::string& folder, const RankExchange& exchange);

/// Which checkpoints stay.
struct Retention {
  std::int64_t save_total_limit = 0;  ///< newest ones that stay; 0: all
  std::int64_t keep_every = 0;        ///< steps that are multiples of it stay too; 0: none
  std::string best;                   ///< folder of the best model, stays too; empty: none
};

/// The folders that `retention` lets go, oldest first; `found` newest first. The newest never goes;
/// the best one counts among save_total_limit, as in transformers, which with a limit of 1 keeps
/// two.
[[nodiscard]] std::vector<CheckpointFolder> outdated(const std::vector<CheckpointFolder>& found,
                                                     const Retention& retention);

/// The checkpoints of one run's output directory, and the right to write there.
class CheckpointStore {
 public:
  /// Collective: rank 0 creates the directory, takes its lock (until destruction), and removes what
  /// dead runs left: partial saves and half-deleted checkpoints. A file system that has no locks
  /// is written to without one.
  /// Errors: CheckpointError on all ranks naming process and host of another writer.
  CheckpointStore(std::string output_dir, const RankExchange& exchange);
  ~CheckpointStore();
  CheckpointStore(const CheckpointStore&) = delete;
  CheckpointStore& operator=(const CheckpointStore&) = delete;

  [[nodiscard]] const std::string& output_dir() const { return output_dir_; }
  /// One line per thing that the constructor removed, and when it got no lock (rank 0).
  [[nodiscard]] const std::vector<std::string>& removed() const { return removed_; }
  /// What is wrong with the checkpoint, the ranks sharing the reading; equal on all ranks.
  /// Collective. `pace` is called after each piece that was read (8 MiB) and may wait.
  [[nodiscard]] static std::vector<std::string> problems(const std::string& folder,
                                                         const RankExchange& exchange,
                                                         const std::function<void()>& pace);
  /// Deletes what `retention` lets go but the folders `kept`. Rank 0's, not collective. Returns one
  /// line per deletion.
  std::vector<std::string> remove_outdated(const Retention& retention,
                                           const std::vector<std::string>& kept);

 private:
  std::string output_dir_;
  int lock_ = -1;
  std::vector<std::string> removed_;
};

}  // namespace zt::checkpoint
