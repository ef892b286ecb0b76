#pragma once

#include "memory/view.h"

namespace zt::memory {

/// What copies between a rank's GPU and its host reach, in bytes/s; 0 on CPU ranks.
struct LinkProbe {
  double download = 0, upload = 0;
};

/// Copies 64 MiB each way, the second time measured; reserves and gives back that much of both.
/// `pinned`: from page-locked host memory. Errors: DeviceError.
LinkProbe probe_link(Device device, int device_index, bool pinned);

}  // namespace zt::memory
