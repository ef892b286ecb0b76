#include "comm/nccl/cuda_handles.h"

#include "base/error.h"

namespace zt::comm {

void check_cuda(cudaError_t result, const char* call) {
  if (result != cudaSuccess) {
    throw DeviceError(std::string("[comm.nccl] ") + call +
                      " failed: " + cudaGetErrorString(result) + ". Check the GPU and its driver.");
  }
}

StreamHandle new_stream() {
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  return StreamHandle(stream);
}

DeviceMemory new_device_memory(std::size_t bytes) {
  void* memory = nullptr;
  check_cuda(cudaMalloc(&memory, bytes), "cudaMalloc");
  return DeviceMemory(memory);
}

}  // namespace zt::comm
