#pragma once

#include "comm/communicator.h"

namespace zt::comm {

/// The contract of the collectives' arguments; the same on every backend. Errors: InternalError.
void check_all_gather(const Communicator& comm, const View& send, const View& recv);
void check_all_to_all(const Communicator& comm, const View& send, const View& recv);
void check_reduce_scatter(const Communicator& comm, const View& send, const View& recv);
void check_root(const Communicator& comm, int root);

}  // namespace zt::comm
