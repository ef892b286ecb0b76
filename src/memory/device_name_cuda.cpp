#include <cuda_runtime_api.h>

#include "memory/arena.h"
#include "memory/cuda_check.h"
#include "memory/device_name.h"

namespace zt::memory {

std::vector<std::string> cuda_device_names() {
  std::vector<std::string> names;
  for (int index = 0; index < num_cuda_devices(); ++index) {
    cudaDeviceProp properties{};
    cuda::check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    names.emplace_back(properties.name);
  }
  return names;
}

}  // namespace zt::memory
