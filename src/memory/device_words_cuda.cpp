#include <cuda.h>
#include <cuda_runtime_api.h>

#include <string>

#include "memory/cuda_check.h"
#include "memory/device_words.h"

namespace zt::memory {
namespace {

using WriteFunction = CUresult (*)(CUstream, CUdeviceptr, cuuint32_t, unsigned int);

}  // namespace

DeviceWords::DeviceWords(void* page, std::size_t bytes) : page_(page) {
  // The driver's function through the runtime: nothing links the driver's library.
  cudaDriverEntryPointQueryResult found{};
  cuda::check(cudaGetDriverEntryPointByVersion("cuStreamWriteValue32", &write_function_, 12000,
                                               cudaEnableDefault, &found),
              "cudaGetDriverEntryPoint");
  if (found != cudaDriverEntryPointSuccess || write_function_ == nullptr) {
    throw DeviceError(
        "[memory.words] the driver has no cuStreamWriteValue32. Install a newer NVIDIA driver.");
  }
  cuda::check(cudaHostRegister(page, bytes, cudaHostRegisterMapped | cudaHostRegisterPortable),
              "cudaHostRegister");
  const auto status = cudaHostGetDevicePointer(&device_page_, page, 0);
  if (status != cudaSuccess) (void)cudaHostUnregister(page);
  cuda::check(status, "cudaHostGetDevicePointer");
}

DeviceWords::~DeviceWords() { (void)cudaHostUnregister(page_); }

void DeviceWords::write(std::size_t offset, std::uint32_t value, const Launch& launch) const {
  const auto address = reinterpret_cast<CUdeviceptr>(device_page_) + offset;
  // The call's flag against a barrier is refused by this version of the function.
  const CUresult result = reinterpret_cast<WriteFunction>(write_function_)(
      static_cast<CUstream>(launch.stream), address, value, CU_STREAM_WRITE_VALUE_DEFAULT);
  if (result != CUDA_SUCCESS) {
    throw DeviceError("[memory.words] cuStreamWriteValue32 failed with CUDA error " +
                      std::to_string(static_cast<int>(result)) +
                      ". Look for an earlier error of this rank.");
  }
}

}  // namespace zt::memory
