#pragma once

#include <utility>

#include "memory/view.h"

/// The CUDA half of this module: cuda_impl_cuda.cpp, or cuda_impl_unavailable.cpp without CUDA.
/// Every function throws DeviceError with CUDA's own text on failure.
namespace zt::memory::cuda {

void* allocate_device(Bytes size);  ///< zeroed
void free_device(void* base);
void lock_pages(void* base, Bytes size);  ///< host memory that the GPU then copies directly
void unlock_pages(void* base);
void copy_async(const View& from, const View& to, void* stream);
void synchronize_stream(void* stream);
void* create_stream();  ///< not ordered after the default stream
void destroy_stream(void* stream);
Bytes library_peak();
void reset_library_peak();
void limit_library(Bytes limit);
std::int64_t library_allocations();
void set_device(int index);
int num_devices();
std::pair<Bytes, Bytes> memory_info();  ///< free, total

}  // namespace zt::memory::cuda
