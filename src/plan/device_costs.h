#pragma once

#include "base/units.h"
#include "memory/view.h"

namespace zt::plan {

/// Memory a rank holds on its device beside the arena and what ATen allocates during a call.
/// Estimates, one place: compare with what the driver reports after step 1 and correct them here.
struct DeviceCosts {
  Bytes context;       ///< driver context, loaded kernels, cuBLAS and cuDNN handles with workspaces
  Bytes communicator;  ///< NCCL's buffers and channels; none with one rank
};

/// CUDA: 0.55 GiB of context and workspaces, 0.4 GiB of NCCL (estimates, not yet measured).
/// CPU: nothing, the process itself is not counted.
constexpr DeviceCosts device_costs(Device device, int world) {
  constexpr Bytes kCudaContext{590'558'004};  // 0.55 GiB
  constexpr Bytes kNccl{429'496'730};         // 0.4 GiB
  if (device == Device::cpu) return {};
  return {kCudaContext, world > 1 ? kNccl : Bytes{}};
}

}  // namespace zt::plan
