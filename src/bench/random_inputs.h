#pragma once

#include <cstdint>
#include <vector>

#include "layer/layer.h"
#include "layout/layout.h"
#include "zero/engine.h"

namespace zt::bench {

/// Values of the usual spread, cheap to make: pieces of one table of normal values; 1 for vectors.
[[nodiscard]] zero::ParamSource random_params(const std::vector<layout::ParamSpec>& params);

/// Micro-batches of random tokens in host memory (page-locked for CUDA), different on each rank.
[[nodiscard]] std::vector<layer::Batch> random_batches(const layer::BatchShape& shape,
                                                       std::int64_t vocab, int count, int rank,
                                                       bool pinned);

}  // namespace zt::bench
