#pragma once

#include "base/units.h"
#include "memory/view.h"

namespace zt::plan {

/// Memory a rank holds on its device beside the arena and what ATen allocates during a call.
/// Measured, one place: the driver's figure of used memory minus arena and library on an H200
/// (driver 580, torch 2.11); zt train prints plan and measurement side by side after each run.
struct DeviceCosts {
  Bytes context;       ///< driver context, loaded kernels, cuBLAS and cuDNN handles with workspaces
  Bytes communicator;  ///< NCCL's buffers and channels; none with one rank
};

/// CUDA: 1.2 GiB of context, loaded kernels and workspaces; 0.75 GiB of NCCL (two GPUs, NVLink).
/// CPU: nothing, the process itself is not counted.
constexpr DeviceCosts device_costs(Device device, int world) {
  constexpr Bytes kCudaContext{1'288'490'188};  // 1.2 GiB
  constexpr Bytes kNccl{805'306'368};           // 0.75 GiB
  if (device == Device::cpu) return {};
  return {kCudaContext, world > 1 ? kNccl : Bytes{}};
}

}  // namespace zt::plan
