#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>

#include "memory/cuda_check.h"
#include "memory/cuda_impl.h"

namespace zt::memory::cuda {

void* allocate_device(Bytes size) {
  void* base = nullptr;
  const auto status = cudaMalloc(&base, static_cast<std::size_t>(size.value));
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
    const auto [free, total] = memory_info();
    throw DeviceError(fmt::format(
        "[memory.arena] the GPU cannot hold the plan: got {} free of {}, expected {} ({}). Use a "
        "higher "
        "ZeRO stage, offload, recompute full or a smaller batch; see zt plan.",
        format_bytes(free), format_bytes(total), format_bytes(size), cudaGetErrorString(status)));
  }
  check(cudaMemset(base, 0, static_cast<std::size_t>(size.value)), "cudaMemset");
  return base;
}

void free_device(void* base) { (void)cudaFree(base); }  // a destructor's path: nothing to throw to

void lock_pages(void* base, Bytes size) {
  const auto status =
      cudaHostRegister(base, static_cast<std::size_t>(size.value), cudaHostRegisterPortable);
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();
  throw DeviceError(fmt::format(
      "[memory.arena] cannot lock {} of host memory: {}. Use more ranks or less offload, raise "
      "`ulimit -l`, or set \"pin_memory\": false in the offload sections.",
      format_bytes(size), cudaGetErrorString(status)));
}

void unlock_pages(void* base) { (void)cudaHostUnregister(base); }

void copy_async(const View& from, const View& to, void* stream) {
  check(cudaMemcpyAsync(to.data, from.data, static_cast<std::size_t>(from.bytes().value),
                        cudaMemcpyDefault, static_cast<cudaStream_t>(stream)),
        "cudaMemcpyAsync");
}

void synchronize_stream(void* stream) {
  check(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "cudaStreamSynchronize");
}

void* create_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream;
}

void destroy_stream(void* stream) { (void)cudaStreamDestroy(static_cast<cudaStream_t>(stream)); }

namespace {

int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

}  // namespace

Bytes library_peak() {
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(
      static_cast<c10::DeviceIndex>(current_device()));
  return {stats.reserved_bytes.at(0).peak};
}

std::int64_t library_allocations() {
  return c10::cuda::CUDACachingAllocator::getDeviceStats(
             static_cast<c10::DeviceIndex>(current_device()))
      .num_device_alloc;
}

void reset_library_peak() {
  c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(current_device()));
}

void limit_library(Bytes limit) {
  const auto total = static_cast<double>(memory_info().second.value);
  const double share = std::clamp(static_cast<double>(limit.value) / total, 0.0, 1.0);
  c10::cuda::CUDACachingAllocator::setMemoryFraction(
      share, static_cast<c10::DeviceIndex>(current_device()));
}

void set_device(int index) { check(cudaSetDevice(index), "cudaSetDevice"); }

int num_devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return count;
}

std::pair<Bytes, Bytes> memory_info() {
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return {{static_cast<std::int64_t>(free)}, {static_cast<std::int64_t>(total)}};
}

}  // namespace zt::memory::cuda
