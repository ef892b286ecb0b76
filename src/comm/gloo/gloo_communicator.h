#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/position.h"
#include "comm/store.h"

namespace zt::comm {

struct GlooOptions {
  int rank = 0;
  int world = 1;
  std::string bind_address = "127.0.0.1";  ///< the one address of this machine that Gloo listens on
  std::chrono::milliseconds connect_timeout{120'000};
  std::chrono::milliseconds timeout{1'800'000};  ///< of one operation
  PositionWriter* position = nullptr;            ///< hears which rank is waited for
  /// Asked while connecting: a reason to give up, or empty.
  std::function<std::string()> give_up;
};

/// CPU communicator over c10d's ProcessGroupGloo and its full mesh of TCP connections. Data moves
/// by point-to-point transfers straight between the caller's buffers, without copies; only
/// reduce_scatter_sum is Gloo's own algorithm. After an abort or a timeout no transfer touches the
/// caller's memory (for reduce_scatter_sum: only once the process ends; keep its buffers).
/// Errors: CommError naming rank, operation and peer.
std::unique_ptr<Communicator> make_gloo(Store& store, const GlooOptions& options);

}  // namespace zt::comm
