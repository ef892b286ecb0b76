#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/policy.h"
#include "base/units.h"
#include "memory/host_pool.h"
#include "memory/view.h"

namespace zt::memory {

/// How a CUDA rank reserves host memory.
struct HostMemory {
  /// Page-locked: the GPU copies at full speed and beside everything else. Pageable memory is
  /// copied through the driver's own buffers.
  bool pinned = true;
  HostPool* pool = nullptr;  ///< its threads make the pages appear; null: the caller does
  /// What is placed by itself over the pool's NUMA nodes; in order, the rest is one range each.
  std::vector<std::pair<Bytes, Bytes>> ranges;  ///< offset, size
};

/// One allocation that holds every planned buffer of one place. Reserved before step 1, zeroed.
///
/// Place::device on a CPU rank is ordinary memory; Place::host is a separate allocation with real
/// copies between the two.
/// Errors: DeviceError with the size and what is free when the allocation fails.
class Arena {
 public:
  Arena(Place place, Device device, Bytes size, const HostMemory& host = {});
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  [[nodiscard]] void* at(Bytes offset) const {
    return static_cast<std::byte*>(base_) + offset.value;
  }
  [[nodiscard]] Bytes size() const { return size_; }

 private:
  Place place_;
  Device device_;
  Bytes size_;
  void* base_ = nullptr;
  bool pinned_ = false;
};

/// Copies between any two places of a rank; sizes and dtypes are equal. Queued on launch.stream on
/// CUDA.
void copy(const View& from, const View& to, const Launch& launch);

/// Blocks the host until everything queued on launch.stream is done. Nothing to do on the CPU.
void synchronize(const Launch& launch);

/// Most bytes ATen's allocator held on the current CUDA device since reset_library_peak; 0 on the
/// CPU.
Bytes library_peak(Device device);
void reset_library_peak(Device device);
/// From now on ATen's allocator may hold at most `limit` on the current CUDA device; more is an
/// out-of-memory error. Nothing on the CPU.
void limit_library(Device device, Bytes limit);
/// How often ATen's allocator has asked the driver for device memory; 0 on the CPU.
std::int64_t library_allocations(Device device);

/// Makes `index` the current CUDA device of this thread; nothing on the CPU.
void set_device(Device device, int index);
/// CUDA devices of this machine; 0 without CUDA.
int num_cuda_devices();
/// Total memory of the current CUDA device; 0 on the CPU.
Bytes device_capacity(Device device);
/// Bytes in use on the current CUDA device by all processes (context included); 0 on the CPU.
Bytes device_used(Device device);

}  // namespace zt::memory
