#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/rendezvous.h"

namespace zt::testing {

/// How one rank of a test ended.
struct RankResult {
  int rank = 0;
  bool succeeded = false;
  int exit_code = 0;    ///< processes only
  int signal = 0;       ///< processes only; 0: ended by itself
  std::string message;  ///< text of the exception that left the rank's function
  double seconds = 0;   ///< from the start of the test to the rank's end
};

/// Runs `body` on `world` threads over the in-process communicator. A rank that throws aborts the
/// others. Also fails the calling test, naming the rank, unless `expect_success` is false.
std::vector<RankResult> run_threads(int world, const std::function<void(comm::Communicator&)>& body,
                                    bool expect_success = true,
                                    std::chrono::milliseconds timeout = std::chrono::seconds(30));

struct ProcessOptions {
  bool expect_success = true;
  std::chrono::seconds timeout{60};  ///< then every rank is killed and the test fails
  std::chrono::milliseconds operation_timeout{30'000};
  comm::MonitorOptions monitor;
  Device device = Device::cpu;  ///< of the communicator: Gloo or NCCL
  /// Runs in the parent once all ranks are forked; may send them signals.
  std::function<void(const std::vector<pid_t>&)> interfere;
};

/// Forks `world` processes that meet on the loopback address (Gloo or NCCL) and run `body`. Failed
/// expectations in a rank fail that rank. Ranks leave in order when `body` returns.
std::vector<RankResult> run_processes(int world, const std::function<void(comm::RankGroup&)>& body,
                                      const ProcessOptions& options = {});

}  // namespace zt::testing
