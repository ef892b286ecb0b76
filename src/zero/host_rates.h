#pragma once

#include <string>
#include <vector>

#include "memory/queues.h"

namespace zt::zero {

struct Machine;

/// What a rank's copies, its host's optimizer, its disk and its products reach, with all ranks of
/// the machine at it at the same time. 0: not there.
struct HostRates {
  double download = 0, upload = 0;   ///< bytes/s between device and host
  double optimizer = 0;              ///< bytes/s that AdamW reads and writes in host memory
  int threads = 1;                   ///< of the host's optimizer
  int nodes = 1, machine_nodes = 1;  ///< NUMA nodes they are on, and those of the machine
  std::string simd;                  ///< instruction set of the host's optimizer
  std::vector<std::string> causes;   ///< what makes the host's optimizer slower than it could be
  double product = 0;                ///< FLOP/s of a large matrix product in the compute dtype
  double disk_read = 0, disk_write = 0;  ///< bytes/s between host and disk
  std::string disk_engine;               ///< `io_uring`, or `pread/pwrite (why)`
  bool disk_direct = true;               ///< past the page cache
};

/// Measures on the planned memory and files, which are still all zero and stay so. Takes a tenth of
/// a second, with a disk the time of 256 MiB each way. All 0 where nothing is offloaded.
/// Errors: DeviceError, FileError.
HostRates measure_host(const Machine& machine, memory::Queues& queues);

}  // namespace zt::zero
