#pragma once

#include <memory>

#include "comm/rendezvous.h"
#include "comm/store.h"

namespace zt::train {

/// The store of a run for threads that wait for other ranks: waiting ends with the first failure of
/// the run, not with the timeout. `group` outlives the store and its clones.
/// Errors of get: CommError naming the rank that failed, or the key after `timeout`.
[[nodiscard]] std::unique_ptr<comm::Store> watched_store(comm::RankGroup& group);

}  // namespace zt::train
