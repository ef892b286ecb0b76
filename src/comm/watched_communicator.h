#pragma once

#include <memory>

#include "comm/communicator.h"
#include "comm/monitor.h"

namespace zt::comm {

/// Wraps `inner` so that each CommError names the first failure of the run (waiting for the monitor
/// to notice it), and so that a failure noticed by the monitor aborts `inner`. `monitor` outlives
/// it.
std::unique_ptr<Communicator> watch(std::unique_ptr<Communicator> inner, Monitor& monitor);

}  // namespace zt::comm
