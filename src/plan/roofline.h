#pragma once

#include "model/family.h"
#include "plan/candidate.h"
#include "plan/device_limits.h"

namespace zt::plan {

/// Seconds of one step and its parts, from a device's limits.
struct RooflineTime {
  double products = 0;  ///< matrix products at the share of the peak that large ones reach
  double scan = 0;      ///< Mamba's scan
  double memory = 0;    ///< other kernels and the optimizer at the memory's rate
  double exposed = 0;   ///< communication that no compute hides
  double host = 0;      ///< optimizer on the host
  [[nodiscard]] double total() const { return products + scan + memory + exposed + host; }
};

/// Predicts a step of `candidate` where no device file says what was measured: work over limits
/// times the shares that this program reaches on an H200. Good to tens of percent, not more.
[[nodiscard]] RooflineTime predict_roofline(const model::Model& model, const Candidate& candidate,
                                            int world, const DeviceLimits& device);

/// Forward, recomputation and backward of all layers of a step alone: products, scan and what their
/// other kernels read and write.
[[nodiscard]] double layer_seconds(const model::Model& model, const zero::EngineOptions& options,
                                   const DeviceLimits& device);

/// FLOP/s of whole layers, their scan and small kernels included, over those that a large product
/// alone was measured at. `device`: null where no data sheet is known, as on the CPU.
[[nodiscard]] double layer_share(const model::Model& model, const zero::EngineOptions& options,
                                 const DeviceLimits* device);

}  // namespace zt::plan
