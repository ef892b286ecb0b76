#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "base/error.h"

namespace zt::memory::cuda {

/// Errors: DeviceError with the call's name and CUDA's text unless `status` is success.
inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  throw DeviceError(std::string("[memory.cuda] ") + call +
                    " failed: " + cudaGetErrorString(status) +
                    ". Look for an earlier error of this rank; the device may need a restart.");
}

}  // namespace zt::memory::cuda
