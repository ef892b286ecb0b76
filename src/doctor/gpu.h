#pragma once

#include "doctor/nvml.h"
#include "doctor/verdict.h"

namespace zt::doctor {

/// The driver against what this build needs. `usable`: GPUs that the build itself sees;
/// `needed_cuda`: 13000, 0 for a build without CUDA.
[[nodiscard]] Verdicts check_driver(const Gpus& gpus, int usable, int needed_cuda);
/// Memory, other programs, clocks, temperature and memory errors of each GPU.
[[nodiscard]] Verdicts check_gpus(const Gpus& gpus);
/// NVLinks and peer access between all of them. Nothing for one GPU.
[[nodiscard]] Verdicts check_links(const Gpus& gpus);

}  // namespace zt::doctor
