#pragma once

#include "memory/queues.h"

namespace zt::zero {

struct Machine;

/// What a rank's copies, its host's optimizer and its products reach, with all ranks of the machine
/// at it at the same time. 0: not there.
struct HostRates {
  double download = 0, upload = 0;  ///< bytes/s between device and host
  double optimizer = 0;             ///< bytes/s that AdamW reads and writes in host memory
  int threads = 0, nodes = 0;       ///< of the host's optimizer: threads, NUMA nodes they are on
  double product = 0;               ///< FLOP/s of a large matrix product in the compute dtype
};

/// Measures on the planned memory, which is still all zero and stays so. Takes a tenth of a second.
/// CUDA only: elsewhere all 0. Errors: DeviceError.
HostRates measure_host(const Machine& machine, memory::Queues& queues);

}  // namespace zt::zero
