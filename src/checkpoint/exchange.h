#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "comm/store.h"

namespace zt::checkpoint {

/// How the ranks of a save or a resume talk: the whole of communication that checkpoints need.
/// A save that runs beside training takes one over the store, never over the communicator.
struct RankExchange {
  int rank = 0;
  int world = 1;
  /// Every rank's text in rank order, on every rank; also a barrier. Collective.
  /// Errors: CommError when a peer is gone.
  std::function<std::vector<std::string>(const std::string& text)> gather_text;
};

/// One rank alone (tools, tests).
[[nodiscard]] RankExchange exchange_alone();

/// Over the key-value store of the run, on a connection of its own, so that a background thread may
/// use it. `name` is different for every exchange of a run (`save`, `resume`) and equal on all
/// ranks. Errors of gather_text: CommError after `timeout`.
[[nodiscard]] RankExchange exchange_over_store(comm::Store& store, int rank, int world,
                                               std::string name, std::chrono::milliseconds timeout);

/// Runs `work` on this rank and tells all ranks how it ended. Collective.
/// Errors: CheckpointError on every rank when any rank's `work` threw, naming the first such rank
/// and its message. Nothing but `work`'s own errors is caught.
void all_or_none(const RankExchange& exchange, const std::function<void()>& work);

}  // namespace zt::checkpoint
