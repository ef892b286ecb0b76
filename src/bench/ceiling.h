#pragma once

#include "model/qwen3.h"
#include "zero/engine.h"

namespace zt::bench {

/// Seconds of one micro-step's library calls with nothing between them.
struct Ceiling {
  double all = 0, gemm = 0, attention = 0;
};

/// Replays the GEMMs and the attention of one micro-step, recomputation included, as one CUDA graph
/// on random data: what no schedule of the same calls can beat. On the CPU it calls them in turn.
/// Shapes: options.shape; dtypes as the engine would use them.
[[nodiscard]] Ceiling measure_ceiling(const model::Qwen3Config& model,
                                      const zero::EngineOptions& options,
                                      const zero::RankContext& rank);

}  // namespace zt::bench
