#pragma once

#include <string>

#include "model/family.h"
#include "zero/engine.h"

namespace zt::train {

/// One real step of the same stage, dtype, recomputation and placement, on a model of the same
/// family with small sizes (model::reduced), on CPU threads instead of ranks (at most 8), and again
/// to see the loss fall. Returns a line about it. Errors: InternalError when the loss is not a
/// number, and whatever the engine throws.
[[nodiscard]] std::string run_reduced_step(const model::Model& model,
                                           const zero::EngineOptions& options, int world);

}  // namespace zt::train
