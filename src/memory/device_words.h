#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/view.h"

namespace zt::memory {

/// Words of host memory that a CUDA device writes in the order of its streams, so that the host
/// (and other processes that map the same page) can see how far the device is.
class DeviceWords {
 public:
  /// Registers `bytes` at `page` (page-aligned, outlives this object) with the current device.
  /// Errors: DeviceError; without CUDA always.
  DeviceWords(void* page, std::size_t bytes);
  ~DeviceWords();
  DeviceWords(const DeviceWords&) = delete;
  DeviceWords& operator=(const DeviceWords&) = delete;

  /// Queues on launch.stream: the word at `offset` becomes `value`. Takes no SM, may be captured.
  /// Errors: DeviceError.
  void write(std::size_t offset, std::uint32_t value, const Launch& launch) const;

 private:
  [[maybe_unused]] void* page_ = nullptr;
  [[maybe_unused]] void* device_page_ = nullptr;
  [[maybe_unused]] void* write_function_ = nullptr;  ///< the driver's cuStreamWriteValue32
};

}  // namespace zt::memory
