#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/sockets.h"

namespace zt::launch {

class OrderReader;

/// Where a rank runs.
struct RankPlace {
  std::vector<int> cpus;  ///< empty: anywhere
  int memory_node = -1;   ///< NUMA node that memory comes from; -1: any
};

/// The ranks of this machine and their place among those of the other machines.
struct LaunchOptions {
  int nproc = 1;  ///< ranks of this machine; every machine has as many, unless the next two say
  int first_rank = -1;  ///< RANK of this machine's first; -1: node_rank * nproc
  int world_size = 0;   ///< 0: nnodes * nproc
  int nnodes = 1;       ///< machines
  int node_rank = 0;    ///< this machine among them
  std::string master_addr = "127.0.0.1";
  int master_port = 0;                 ///< 0: any free one; needs a number with several machines
  std::string program = "zt";          ///< as the rank sees its own name
  std::vector<std::string> arguments;  ///< of each rank, without the program's name
  std::string executable = "/proc/self/exe";  ///< path, or a name that PATH is searched for
  std::string script;        ///< not empty: the file that the program, a Python, runs
  bool pass_socket = true;   ///< rank 0 takes over the listening socket; false: it opens its own
  int local_rank_at = -1;    ///< where --local_rank=N goes among the arguments; -1: nowhere
  std::vector<int> devices;  ///< not empty: CUDA_VISIBLE_DEVICES of the ranks
  std::vector<RankPlace> places;  ///< of each rank; empty: anywhere
  std::string log_dir;    ///< not empty: rank_<n>.log of each rank; this machine's first rank is
                          ///< shown too
  std::string log_stamp;  ///< not empty: <log_stamp>_rank<n>.log instead
  int omp_threads = 0;    ///< per rank; 0: cores / nproc, at least 1
  std::chrono::milliseconds report_grace{15'000};  ///< for the others to end after a first failure
  std::chrono::milliseconds term_grace{10'000};    ///< then, between SIGTERM and SIGKILL
  std::chrono::milliseconds stop_grace{30'000};    ///< between a signal from outside and SIGKILL
};

/// How the ranks of one machine ended.
struct RanksEnd {
  int status = 0;            ///< as `run_ranks` returns it
  int rank = -1;             ///< that failed first; -1: none
  bool consequence = false;  ///< of another machine's failure, as far as this one can tell
  std::string failure;       ///< `rank 3, exit code 3: cause`
};

/// What a launcher on another machine hands to this one's.
struct Supervision {
  std::optional<net::BoundSocket> socket;  ///< of the store, when it listens already
  OrderReader* orders = nullptr;  ///< of that launcher; its end is the end of the run. May be null
};

/// Runs `nproc` ranks of a program on this machine and waits for all of them.
///
/// Each rank is a process (group) of its own with RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE,
/// NODE_RANK, MASTER_ADDR, MASTER_PORT (and the names that torchrun and DeepSpeed use for the same,
/// docs/launch.md), and, unless these are set, OMP_NUM_THREADS,
/// TORCH_CPP_LOG_LEVEL=ERROR and NCCL_SOCKET_IFNAME (the interface towards `master_addr`). On node
/// 0 the rendezvous socket listens on `master_addr` before any rank starts and is inherited by rank
/// 0 as the descriptor ZT_LISTEN_FD.
///
/// Ranks, and what they started in their process group, die with this process. SIGINT, SIGTERM and
/// SIGHUP are forwarded once, SIGUSR1 each time; the ranks have `stop_grace` to end, and a second
/// signal (2 s later or more) ends them at once. When a rank fails, the others have `report_grace`
/// to end by themselves, then get SIGTERM, and SIGKILL after `term_grace`.
///
/// Returns 0 when all ranks returned 0; 75 when ranks saved their state and ended early; 128 + n
/// when signal n ended the run from outside; otherwise the status of the rank that failed first
/// (128 + n when it was killed by signal n). The last line of the log names that rank and the
/// cause. Exit code 4 (a peer failed) counts as first only when no rank failed otherwise. Thread:
/// the calling thread must outlive the ranks; SIGCHLD and the forwarded signals are blocked in it
/// meanwhile. Errors: CommError when the port is taken; DeviceError when a process or file cannot
/// be made.
int run_ranks(const LaunchOptions& options);

/// The same for one of several machines.
RanksEnd supervise_ranks(const LaunchOptions& options, Supervision supervision);

}  // namespace zt::launch
