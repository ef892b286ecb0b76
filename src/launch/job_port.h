#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "base/sockets.h"
#include "config/env.h"

namespace zt::launch {

/// How the ranks of one machine that Slurm or MPI started agree on a port: rank 0 takes a free one
/// on 127.0.0.1 and tells it to whoever asks under the job's name. The name is a Unix socket that
/// is no file, so that nothing is left behind; both sides refuse other users.
class JobPort {
 public:
  /// Rank 0. Errors: CommError when the name is taken by another process.
  explicit JobPort(const std::string& job);
  ~JobPort();
  JobPort(const JobPort&) = delete;
  JobPort& operator=(const JobPort&) = delete;

  /// The socket that listens; give it away once.
  [[nodiscard]] net::BoundSocket& socket() { return socket_; }

  /// The other ranks. Errors: CommError when rank 0 does not answer in time.
  [[nodiscard]] static int ask(const std::string& job, std::chrono::milliseconds timeout);

 private:
  void serve();

  net::BoundSocket socket_;
  int port_ = 0;
  int name_fd_ = -1;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

/// Fills in the port of `rank` when only its job is known (RankEnvironment::job). Keep the result
/// until the ranks have met; empty when there was nothing to do. Errors: CommError.
[[nodiscard]] std::unique_ptr<JobPort> agree_on_port(config::RankEnvironment& rank);

}  // namespace zt::launch
