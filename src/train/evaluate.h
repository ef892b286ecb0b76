#pragma once

#include "train/batch_source.h"
#include "train/results.h"
#include "zero/engine.h"

namespace zt::train {

/// Token-weighted loss over the evaluation data of all ranks. The source's batches have the
/// engine's shape. All ranks call it together and get the same result; the time is rank 0's.
/// Errors: FileError when the evaluation data has no target.
[[nodiscard]] EvalResult evaluate(zero::Engine& engine, BatchSource& source,
                                  const zero::RankContext& rank);

}  // namespace zt::train
