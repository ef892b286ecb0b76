#pragma once

#include <nccl.h>

#include "comm/nccl/nccl_communicator.h"

namespace zt::comm {

/// Exchanges NCCL's unique id through the store and creates the communicator.
/// Errors: CommError within `options.connect_timeout`, or earlier when `options.give_up` gives a
/// reason.
ncclComm_t connect_nccl(Store& store, const NcclOptions& options);

}  // namespace zt::comm
