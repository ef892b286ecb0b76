#pragma once

#include <sys/types.h>

#include <string>

#include "launch/run_ranks.h"

namespace zt::launch {

/// What one rank's process needs beyond the options common to all. Descriptors stay the caller's.
struct RankStart {
  int local_rank = 0;
  int master_port = 0;
  int listen_fd = -1;     ///< inherited by rank 0 alone, when there is one
  int report_fd = -1;     ///< where the rank writes why it failed (TORCHELASTIC_ERROR_FILE)
  std::string interface;  ///< towards the master address; empty: not known
  int output_fd = -1;     ///< its stdout and stderr; -1: those of this process
  bool no_input = false;  ///< nothing to read on its stdin
};

/// RANK of a local rank.
inline int global_rank(const LaunchOptions& options, int local_rank) {
  const int first =
      options.first_rank >= 0 ? options.first_rank : options.node_rank * options.nproc;
  return first + local_rank;
}

/// Forks and executes one rank with an empty signal mask. Returns its pid. Errors: DeviceError.
pid_t start_rank(const LaunchOptions& options, const RankStart& start);

/// `exit code 3`, `signal 9 (Killed)`.
std::string describe_status(int wait_status);
/// As a shell reports it: the exit code, or 128 + the signal.
int shell_status(int wait_status);

}  // namespace zt::launch
