#pragma once

#include <functional>
#include <string>

#include "launch/launch_flags.h"

namespace zt::launch {

/// What the program around this module adds to a machine's launcher.
struct NodeHooks {
  int num_devices = 0;  ///< GPUs of this machine
  /// Completes the options for our own program (`zt`) and checks what needs no peer.
  std::function<void(LaunchOptions&)> prepare;
  /// Exit code of an error.
  std::function<int(const std::exception&)> exit_code;
};

/// The launcher of one machine, started by `fan_out` on another: reads its job and orders from
/// stdin, answers on stderr, and ends its ranks when stdin ends. Returns the exit code.
int run_node(const NodeHooks& hooks);

}  // namespace zt::launch
