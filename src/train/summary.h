#pragma once

#include <cstdint>
#include <string>

#include "config/config.h"
#include "schedule/build.h"
#include "train/memory_report.h"
#include "train/step_plan.h"

namespace zt::train {

/// Facts about a run that the console shows before step 1.
struct RunSummary {
  std::string model;         ///< folder or name
  std::string architecture;  ///< `Qwen3ForCausalLM`
  std::int64_t num_params = 0;
  int num_units = 0, num_layers = 0;
  int world = 1;
  std::string device;  ///< `cpu`, `cuda (NVIDIA H200)`
  std::int64_t block_size = 0;
  std::int64_t train_blocks = 0, eval_blocks = 0;
  std::int64_t coalesce = 1;  ///< accumulation micro-batches run as one
  schedule::BuildOptions build;
  PlannedMemory planned;
};

/// Several lines, without a line end at the last.
[[nodiscard]] std::string describe_run(const RunSummary& summary, const config::Config& config,
                                       const StepPlan& plan);

/// `parameters sharded (device), gradients sharded (device), states sharded (host)`.
[[nodiscard]] std::string describe_residency(const schedule::Residency& residency);

}  // namespace zt::train
