#pragma once

#include "plan/device_file.h"
#include "zero/engine.h"

namespace zt::bench {

/// Measures this rank's device and its link: products and attention of the named Qwen3 shapes at
/// several numbers of rows, rates of the other kernels, all-gathers. Collective; about 20 s on a
/// GPU. Errors: DeviceError without a GPU.
[[nodiscard]] plan::DeviceFile calibrate(const zero::RankContext& rank);

}  // namespace zt::bench
