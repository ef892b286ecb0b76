#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "comm/failure_board.h"
#include "comm/hang_watch.h"
#include "comm/position.h"
#include "comm/store.h"

namespace zt::comm {

/// Which ranks' pages this process can expect to read, and the limits of standing still.
struct PositionOptions {
  /// Shared: the monitor's threads may outlive the rank's communicator while they wait for a store
  /// that does not answer. Null: positions are not watched.
  std::shared_ptr<PositionWriter> writer;
  int first_local_rank = 0, num_local_ranks = 0;  ///< ranks of this machine
  std::chrono::milliseconds hang_timeout{0};      ///< 0: standing still is not reported
  std::chrono::milliseconds outer_timeout{1'800'000};
};

/// Where all ranks stand: publishes the own position through the store, reads the others' from
/// their pages (same machine) or from the store. Thread: `cycle`, `find_hang` and `refresh` from
/// the thread that owns the store; the others from any.
class PositionBoard {
 public:
  PositionBoard(PositionOptions options, int rank, int world, int store_rank);

  /// What others need to read the own page, to be appended to the process identity.
  [[nodiscard]] std::string page_address() const;
  /// Opens the pages of this machine's ranks, which all have announced theirs. Any thread, with a
  /// store of its own. Errors: CommError.
  void attach(Store& store);
  /// Once per heartbeat. Errors: CommError.
  void cycle(Store& store);
  /// The failure to report when no rank has moved for the limit. Errors: CommError.
  [[nodiscard]] std::optional<Failure> find_hang(Store& store);
  /// Reads every rank's position for a report. Errors: CommError.
  void refresh(Store& store);
  /// ` at step 14, micro-step 2, backward L3`; empty when unknown.
  [[nodiscard]] std::string last_place(int rank);
  /// All ranks' places as a table; empty when positions are not watched.
  [[nodiscard]] std::string table(int culprit);
  void set_names(OperationNames names);

 private:
  struct Known {
    Position position;
    HangWatch::Clock::time_point moved;
  };
  [[nodiscard]] bool has_page(int rank);
  [[nodiscard]] std::optional<Position> read(Store* store, int rank);
  void learn(int rank, const Position& position);

  const PositionOptions options_;
  const int rank_, world_, store_rank_;
  HangWatch watch_;  // used by the store's thread alone
  std::string published_;
  std::mutex mutex_;  ///< guards everything below
  std::map<int, std::unique_ptr<PositionReader>> pages_;
  std::map<int, Known> known_;
  OperationNames names_;
};

}  // namespace zt::comm
