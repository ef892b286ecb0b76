#pragma once

#include <string>
#include <vector>

namespace zt::memory {

/// Names of this machine's CUDA devices as the driver gives them (`NVIDIA H200`); empty without
/// CUDA.
std::vector<std::string> cuda_device_names();

}  // namespace zt::memory
