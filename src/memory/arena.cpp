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

}  // namespace

Arena::Arena(Place place, Device device, Bytes size) : place_(place), device_(device), size_(size) {
  if (size.value == 0) return;
  if (device == Device::cpu) {
    base_ = map_host(size);
  } else {
    base_ = place == Place::device ? cuda::allocate_device(size) : cuda::allocate_pinned(size);
  }
}

Arena::~Arena() {
  if (base_ == nullptr) return;
  if (device_ == Device::cpu) {
    munmap(base_, static_cast<std::size_t>(size_.value));
  } else if (place_ == Place::device) {
    cuda::free_device(base_);
  } else {
    cuda::free_pinned(base_);
  }
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
