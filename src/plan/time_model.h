#pragma once

#include "model/qwen3.h"
#include "plan/candidate.h"
#include "plan/device_file.h"

namespace zt::plan {

/// Seconds of one step and its parts.
struct StepTime {
  double gemm = 0, attention = 0;
  double kernels = 0;  ///< everything else that computes
  double exposed = 0;  ///< communication that no compute hides
  [[nodiscard]] double total() const { return gemm + attention + kernels + exposed; }
};

/// Predicts a step of `candidate` on the device that the file describes: measured times of the
/// nearest products and attention shapes, bytes of the other kernels over the measured rates, and
/// the communication that the schedule cannot hide. Offloaded states are not modelled: they count
/// as on the device. `world`: ranks.
[[nodiscard]] StepTime predict_step(const model::Qwen3Config& model, const Candidate& candidate,
                                    int world, const DeviceFile& device);

}  // namespace zt::plan
