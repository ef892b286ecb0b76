#pragma once

#include <map>
#include <string>

#include "model/qwen3.h"
#include "plan/device_file.h"
#include "schedule/schedule.h"
#include "zero/engine.h"

namespace zt::plan {

/// Seconds of one step and its parts.
struct StepTime {
  double gemm = 0, attention = 0;
  double kernels = 0;  ///< everything else that computes
  double slowed = 0;   ///< what compute loses beside communication
  double exposed = 0;  ///< communication, copies, the host's optimizer and disks beyond compute
  std::map<std::string, double> groups;  ///< seconds alone of each group of operations
  [[nodiscard]] double total() const { return gemm + attention + kernels + slowed + exposed; }
};

/// Which operations of a step are counted together: `backward` for `backward L7`, with the layer at
/// the two ends of a model whose last layer is `last`: `backward head`.
[[nodiscard]] std::string group_of(const std::string& operation, std::int64_t last);

/// Predicts a step on the device that the file describes: walks `program` with the measured times
/// of the nearest products, attention shapes and other kernels, with its collectives over the
/// measured link and its offload at the rates of the file's host, as the executor runs it. `world`:
/// ranks.
[[nodiscard]] StepTime predict_step(const model::Qwen3Config& model,
                                    const zero::EngineOptions& options,
                                    const schedule::Program& program, int world,
                                    const DeviceFile& device);

}  // namespace zt::plan
