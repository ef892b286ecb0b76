#pragma once

#include "data/loader.h"
#include "train/results.h"
#include "zero/engine.h"

namespace zt::train {

/// What is evaluated, and in which form.
struct EvalData {
  const data::EvalLoader* loader = nullptr;  ///< batches of the engine's shape
  std::int64_t samples = 0;                  ///< blocks over all ranks
  bool document_mask = false;
  bool count_hits = false;  ///< also how many targets are the most probable token
};

/// Token-weighted loss over the evaluation data of all ranks. All ranks call it together and get
/// the same result; the time is this rank's.
/// Errors: FileError when the evaluation data has no target.
[[nodiscard]] EvalResult evaluate(zero::Engine& engine, const EvalData& data,
                                  const zero::RankContext& rank);

}  // namespace zt::train
