#pragma once

#include "comm/communicator.h"

namespace zt::testing {

/// Runs every collective of a CPU communicator over odd sizes and dtypes and expects each element
/// in its place. Called by every rank.
void check_collectives(comm::Communicator& comm);

}  // namespace zt::testing
