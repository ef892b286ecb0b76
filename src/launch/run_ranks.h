#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace zt::launch {

struct LaunchOptions {
  int nproc = 1;
  std::vector<std::string> arguments;  ///< of each rank, without the program's name
  std::string executable = "/proc/self/exe";
  int omp_threads = 0;                             ///< per rank; 0: cores / nproc, at least 1
  std::chrono::milliseconds report_grace{15'000};  ///< for the others to end after a first failure
  std::chrono::milliseconds term_grace{10'000};    ///< between SIGTERM and SIGKILL
};

/// Runs `nproc` ranks of this program on this machine and waits for all of them.
///
/// Each rank is a process (group) of its own with RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE,
/// MASTER_ADDR=127.0.0.1, MASTER_PORT, and OMP_NUM_THREADS and TORCH_CPP_LOG_LEVEL=ERROR unless
/// these are set. The rendezvous socket is bound here, before any rank starts, and inherited by
/// rank 0 as the descriptor ZT_LISTEN_FD. Ranks die with this process. SIGINT, SIGTERM and SIGHUP
/// are forwarded. When a rank fails, the others have `report_grace` to end by themselves, then get
/// SIGTERM, and SIGKILL after `term_grace`. Returns 0 when all ranks returned 0; 128 + n when
/// signal n ended the run from outside; otherwise the status of the rank that failed first (128 + n
/// when it was killed by signal n), which is logged by name. Exit code 4 (a peer failed) counts as
/// first only when no rank failed otherwise. Thread: the calling thread must outlive the ranks;
/// SIGCHLD and the forwarded signals are blocked in it meanwhile. Errors: DeviceError when a
/// process or socket cannot be made.
int run_ranks(const LaunchOptions& options);

}  // namespace zt::launch
