#include "memory/arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "memory/cuda_impl.h"

namespace zt::memory {
namespace {

void* map_host(Bytes size) {
  // Anonymous pages are zero and appear when they are first touched.
  void* base = mmap(nullptr, static_cast<std::size_t>(size.value), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    throw DeviceError(
        fmt::format("[memory.arena] cannot reserve {} of host memory: {}. Use more "
                    "ranks, a higher ZeRO stage or a smaller batch; see zt plan.",
                    format_bytes(size), std::strerror(errno)));
  }
  madvise(base, static_cast<std::size_t>(size.value), MADV_HUGEPAGE);
  return base;
}

/// One thread makes fresh pages appear far slower than all together do.
void touch(std::byte* base, Bytes size, const HostMemory& host) {
  if (host.pool == nullptr) return;
  Bytes done;
  for (const auto& [offset, length] : host.ranges) {
    if (done < offset) host.pool->touch(base + done.value, {offset.value - done.value});
    host.pool->touch(base + offset.value, length);
    done = {offset.value + length.value};
  }
  if (done < size) host.pool->touch(base + done.value, {size.value - done.value});
}

}  // namespace

Arena::Arena(Place place, Device device, Bytes size, const HostMemory& host)
    : place_(place), device_(device), size_(size) {
  if (size.value == 0) return;
  if (device == Device::cuda && place == Place::device) {
    base_ = cuda::allocate_device(size);
    return;
  }
  base_ = map_host(size);
  if (device == Device::cpu) return;
  try {
    touch(static_cast<std::byte*>(base_), size, host);
    if (host.pinned) cuda::lock_pages(base_, size);
    pinned_ = host.pinned;
  } catch (...) {
    munmap(base_, static_cast<std::size_t>(size.value));
    throw;
  }
}

Arena::~Arena() {
  if (base_ == nullptr) return;
  if (device_ == Device::cuda && place_ == Place::device) {
    cuda::free_device(base_);
    return;
  }
  if (pinned_) cuda::unlock_pages(base_);
  munmap(base_, static_cast<std::size_t>(size_.value));
}

void copy(const View& from, const View& to, const Launch& launch) {
  ZT_ASSERT(from.bytes() == to.bytes(), "copy between views of different sizes");
  if (from.data == to.data || from.numel == 0) return;
  if (launch.device == Device::cpu) {
    std::memcpy(to.data, from.data, static_cast<std::size_t>(from.bytes().value));
  } else {
    cuda::copy_async(from, to, launch.stream);
  }
}

void synchronize(const Launch& launch) {
  if (launch.device == Device::cuda) cuda::synchronize_stream(launch.stream);
}

Bytes library_peak(Device device) {
  return device == Device::cuda ? cuda::library_peak() : Bytes{};
}

void reset_library_peak(Device device) {
  if (device == Device::cuda) cuda::reset_library_peak();
}

void limit_library(Device device, Bytes limit) {
  if (device == Device::cuda) cuda::limit_library(limit);
}

std::int64_t library_allocations(Device device) {
  return device == Device::cuda ? cuda::library_allocations() : 0;
}

void set_device(Device device, int index) {
  if (device == Device::cuda) cuda::set_device(index);
}

int num_cuda_devices() { return cuda::num_devices(); }

Bytes device_capacity(Device device) {
  return device == Device::cuda ? cuda::memory_info().second : Bytes{};
}

Bytes device_used(Device device) {
  if (device != Device::cuda) return {};
  const auto [free, total] = cuda::memory_info();
  return total - free;
}

}  // namespace zt::memory
