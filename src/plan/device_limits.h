#pragma once

#include <string>
#include <vector>

#include "base/units.h"

namespace zt::plan {

/// What the data sheet of a GPU says: for predictions where nothing was measured.
struct DeviceLimits {
  const char* name;
  Bytes memory;
  double matrix_rate;  ///< FLOP/s of dense 16-bit products with fp32 sums
  double scalar_rate;  ///< FLOP/s in fp32 outside of the matrix units
  double memory_rate;  ///< bytes/s
  double link_rate;    ///< bytes/s that a GPU sends to another of the same machine
  double host_link;    ///< bytes/s of one copy between the GPU and page-locked host memory
  double host_memory;  ///< bytes/s that AdamW reads and writes in the host it usually sits in
  /// Bytes/s of one NVMe disk with direct I/O.
  double disk_read = 3e9, disk_write = 2e9;
};

/// `H200`, `A100-40GB`, ... in any case of letters; null for an unknown name.
[[nodiscard]] const DeviceLimits* find_device(const std::string& name);
/// The fastest of the devices with about that much memory; 0: the H200.
[[nodiscard]] const DeviceLimits& device_of_memory(Bytes memory);
/// A CPU rank: orders of magnitude to compare settings by, no prediction.
[[nodiscard]] const DeviceLimits& cpu_rank();
/// The device that a driver's name (`NVIDIA H200`) means; null when it is none of these.
[[nodiscard]] const DeviceLimits* device_of_driver_name(const std::string& name);
[[nodiscard]] std::vector<std::string> device_names();

}  // namespace zt::plan
