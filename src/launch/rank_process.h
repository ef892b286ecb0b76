#pragma once

#include <sys/types.h>

#include <string>

#include "launch/run_ranks.h"

namespace zt::launch {

/// What one rank's process needs beyond the options common to all.
struct RankStart {
  int rank = 0;
  int master_port = 0;
  int listen_fd = -1;  ///< inherited by rank 0 alone
};

/// Forks and executes one rank with an empty signal mask. Returns its pid. Errors: DeviceError.
pid_t start_rank(const LaunchOptions& options, const RankStart& start);

/// A TCP socket bound to a free port of the loopback address; closed on exec unless inherited.
class LoopbackSocket {
 public:
  LoopbackSocket();
  ~LoopbackSocket();
  LoopbackSocket(const LoopbackSocket&) = delete;
  LoopbackSocket& operator=(const LoopbackSocket&) = delete;
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] int port() const { return port_; }

 private:
  int fd_ = -1;
  int port_ = 0;
};

/// `exit code 3`, `signal 9 (Killed)`.
std::string describe_status(int wait_status);
/// As a shell reports it: the exit code, or 128 + the signal.
int shell_status(int wait_status);

}  // namespace zt::launch
