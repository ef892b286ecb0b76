#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "comm/communicator.h"

namespace zt::comm {

/// One CPU communicator per rank, for ranks that are threads of one process: a meeting point and
/// memcpy. Each is used by its own thread; `abort` on one of them wakes every waiting rank. A world
/// of one never waits. Errors: CommError naming the ranks that did not arrive within `timeout`, and
/// the two operations when ranks call different ones.
std::vector<std::unique_ptr<Communicator>> make_inproc(int world,
                                                       std::chrono::milliseconds timeout);

}  // namespace zt::comm
