#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/store.h"

namespace zt::comm {

struct NcclOptions {
  int rank = 0;
  int world = 1;
  int device_index = 0;
  std::chrono::milliseconds connect_timeout{120'000};
  /// Asked while connecting: a reason to give up, or empty.
  std::function<std::string()> give_up;
};

/// CUDA communicator over NCCL, called directly: one communicator; operations are queued on
/// `launch.stream` and may be captured into a CUDA graph. all_to_all is grouped send/recv. Its
/// errors show later: `check` (or any next call) throws them. `barrier` blocks the host until
/// all ranks arrive. Errors: CommError; DeviceError when the build lacks CUDA.
std::unique_ptr<Communicator> make_nccl(Store& store, const NcclOptions& options);

}  // namespace zt::comm
