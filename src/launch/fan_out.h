#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "launch/hostfile.h"
#include "launch/node_messages.h"

namespace zt::launch {

/// A run on several machines, seen from the one where the user started it.
struct FanOutOptions {
  std::vector<Host> hosts;
  NodeJob job;                                     ///< what all machines have in common
  std::vector<std::vector<std::string>> commands;  ///< that start each machine's launcher
  std::chrono::milliseconds connect_timeout{30'000};
  std::chrono::milliseconds report_grace{20'000};  ///< for the others to end after a first failure
  std::chrono::milliseconds term_grace{15'000};    ///< then, between SIGTERM and the end
  std::chrono::milliseconds stop_grace{30'000};    ///< between a signal from outside and the end
};

/// Starts one launcher per machine and, once every one of them has answered, the ranks.
///
/// A machine that does not answer in time, refuses the login or cannot start is named with the
/// reason, all of them together, and no rank starts anywhere. Later a machine that fails or is
/// lost ends the others as a rank does on one machine (run_ranks.h). When this process dies, the
/// connections end and with them all ranks.
///
/// Returns the status of the run, as run_ranks does; 4 when a machine was lost or did not answer.
/// The last line of the log names the first failure with its machine. Errors: DeviceError.
int fan_out(const FanOutOptions& options);

/// Text that no program's output begins with by chance.
[[nodiscard]] std::string random_token();

}  // namespace zt::launch
