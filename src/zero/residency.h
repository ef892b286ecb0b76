#pragma once

#include "config/config.h"
#include "layer/layer.h"
#include "schedule/build.h"
#include "zero/engine.h"

namespace zt::zero {

/// The residency row of a ZeRO stage with its offload columns. The only code that reads the stage.
/// Errors: ConfigError for offload that the stage does not allow, or that is not built.
schedule::Residency residency(const config::ZeroConfig& zero);

/// Everything the schedule builder needs besides the model. `auto` choices become: reduce_at as in
/// the residency table, retain off, recompute none (the planner may set them before).
schedule::BuildOptions build_options(const EngineOptions& options, int world);

/// Sizes of a model's layers and units for the builder and the planner.
schedule::ModelInfo describe(const ModelParts& model, const layout::ModelLayout& layout,
                             const EngineOptions& options, Device device);

/// Tensors packed behind each other, each at a multiple of 256 bytes.
Bytes packed_bytes(const std::vector<layer::TensorSpec>& specs);

}  // namespace zt::zero
