#pragma once

#include <cstddef>
#include <cstdint>

#include "base/units.h"

namespace zt {

/// The processor that runs an operation and owns a buffer.
enum class Device : std::uint8_t { cpu, cuda };

/// A flat run of elements of one type on one device. No ownership; a CUDA view is not
/// dereferenced on the host.
struct View {
  void* data = nullptr;
  std::int64_t numel = 0;
  DType dtype = DType::f32;

  /// The elements [begin, begin + count).
  [[nodiscard]] View slice(std::int64_t begin, std::int64_t count) const {
    ZT_ASSERT(begin >= 0 && count >= 0 && begin + count <= numel, "slice leaves its view");
    return {static_cast<std::byte*>(data) + begin * size_of(dtype).value, count, dtype};
  }
  [[nodiscard]] Bytes bytes() const { return storage({numel}, dtype); }
  template <typename T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(data);
  }
};

namespace memory {
class HostPool;
}

/// Where a kernel runs. `stream` is a cudaStream_t on Device::cuda and unused on the CPU, where
/// kernels run on the calling thread (and ATen's threads) and are finished when they return.
struct Launch {
  Device device = Device::cpu;
  void* stream = nullptr;
  /// CPU kernels of the optimizer and of host gradients share their work out to these threads;
  /// null: OpenMP's. Results do not depend on it.
  memory::HostPool* pool = nullptr;
};

}  // namespace zt
