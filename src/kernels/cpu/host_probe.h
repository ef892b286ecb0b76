#pragma once

#include <string>
#include <vector>

#include "memory/host_pool.h"

namespace zt::kernels::cpu {

/// What the host's memory and processors give a rank, measured.
struct HostProbe {
  int threads = 0;
  int nodes = 0;          ///< NUMA nodes that the threads are bound to
  int machine_nodes = 0;  ///< NUMA nodes of the machine
  std::string simd;       ///< instruction set of the host's AdamW
  bool huge_pages = false;
  Bytes available;  ///< host memory that the process may still take; 0: not known
  double read_modify_write_gb_per_s = 0;  ///< reads + writes, in place, all threads
  double copy_gb_per_s = 0;               ///< reads + writes, all threads
  std::vector<std::string> verdicts;      ///< one line each for what costs more than a tenth

  /// Seconds per parameter that AdamW cannot go below: `bytes_per_parameter` over the rate.
  [[nodiscard]] double seconds_per_parameter(double bytes_per_parameter) const {
    return bytes_per_parameter / (read_modify_write_gb_per_s * 1e9);
  }
};

/// One line for each property of the pool's host that costs more than a tenth where the host's
/// optimizer decides: scalar code, a quota, missing huge pages, few threads.
std::vector<std::string> host_verdicts(const memory::HostPool& pool);

/// Measures with the pool that the optimizer uses, in a buffer larger than the last-level caches,
/// within about 0.3 s. Ranks of this host that measure at the same time share its memory: the
/// numbers are then one rank's.
HostProbe probe_host(memory::HostPool& pool);

}  // namespace zt::kernels::cpu
