#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "comm/failure_board.h"
#include "comm/position_board.h"
#include "comm/store.h"

namespace zt::comm {

struct MonitorOptions {
  std::chrono::milliseconds poll{500};
  /// A rank whose heartbeat stands still for longer is taken for dead. Beats come from a thread of
  /// their own, so a busy rank still beats.
  std::chrono::milliseconds silence{10'000};
  /// How long a failing host of the store keeps it open for the others to read the failure.
  std::chrono::milliseconds grace{3'000};
  PositionOptions positions;
  /// Called with the failure when this rank has not ended its part `exit_grace` after it: the
  /// thread that drives it is stuck. Meant to end the process. After a failure that this rank
  /// itself reported it has six times as long.
  std::function<void(const std::string&)> last_resort;
  std::chrono::milliseconds exit_grace{10'000};
};

/// Watches the other ranks of a run from two threads of its own: one beats, reads the failure board
/// and watches the next rank (rank + 1 of world, in a ring: some living rank watches each dead
/// one); the other notices when the store itself no longer answers. On the first failure it calls
/// the abort hook once. Processes of the same machine are seen to end at once, others by their
/// silence.
class Monitor {
 public:
  /// `store` is used by the monitor alone. Starts the threads. `hosts_store`: this process holds
  /// the store's server; `store_rank`: the rank that does, -1 for the launcher.
  Monitor(std::unique_ptr<Store> store, int rank, int world, int store_rank,
          const MonitorOptions& options);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  /// Opens what other ranks of this machine show of their positions. Call once all are connected.
  /// Errors: CommError.
  void see_positions(Store& callers_store);
  /// Called with the failure's text from a thread of the monitor; at once when it already failed.
  /// An empty hook removes it and waits for a running call.
  void set_abort_hook(std::function<void(const std::string&)> hook);

  /// Records that this rank failed, unless another one was first. Returns the first failure.
  Failure report(const std::string& message);
  [[nodiscard]] std::optional<Failure> first_failure() const;
  /// How reports name operations.
  void set_operation_names(OperationNames names);
  /// Waits until a failure is known or `timeout` has passed.
  [[nodiscard]] std::optional<Failure> wait_first_failure(std::chrono::milliseconds timeout) const;
  /// Time after which any dead rank has been noticed.
  [[nodiscard]] std::chrono::milliseconds notice_time() const;

  /// Orderly end of this rank: the others no longer expect its heartbeat. Returns when all ranks
  /// have left (so that no connection closes under another rank's last transfer), or when the host
  /// of the store has gone after that. Errors: CommError when a rank failed instead.
  void leave();

 private:
  struct State;
  // shared_ptr: a thread stuck in a store that does not answer owns the state beyond the monitor.
  std::shared_ptr<State> state_;
};

/// `rank 2 failed first: <message>`.
std::string describe(const Failure& failure);

}  // namespace zt::comm
