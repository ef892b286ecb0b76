#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

namespace zt::comm {

struct StreamDeleter {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};
using StreamHandle = std::unique_ptr<CUstream_st, StreamDeleter>;

struct DeviceMemoryDeleter {
  void operator()(void* memory) const { cudaFree(memory); }
};
using DeviceMemory = std::unique_ptr<void, DeviceMemoryDeleter>;

/// Errors: DeviceError with `call` and CUDA's text.
void check_cuda(cudaError_t result, const char* call);

StreamHandle new_stream();
DeviceMemory new_device_memory(std::size_t bytes);

}  // namespace zt::comm
