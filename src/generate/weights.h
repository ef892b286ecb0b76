#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "layer/model_parts.h"
#include "zero/engine.h"

namespace zt::generate {

/// All parameters of a model on one device, whole, in the compute dtype (in fp32 those that stay in
/// it, layout::ParamSpec::keep_fp32). Parameters of a unit lie in one flat piece of memory in the
/// unit's order, so that adjacent ones stay adjacent.
struct Weights {
  DType compute = DType::f32;
  Device device = Device::cpu;
  std::vector<at::Tensor> by_param;  ///< by ParamId, views of `units`
  std::vector<at::Tensor> units;     ///< flat, padded

  /// Views of a layer's parameters in its order.
  [[nodiscard]] layer::Tensors of(const layer::Layer& layer) const;
};

/// Bytes of gather_weights' result.
[[nodiscard]] Bytes weight_bytes(const layer::ModelParts& model, DType compute, int world);

/// Every rank reads its shard of each unit from `source`, and the shards are gathered once: each
/// value is read by one rank. Collective. Host memory: one shard of the largest unit, twice.
/// Errors: those of `source` (FileError, CheckpointError); CommError.
[[nodiscard]] Weights gather_weights(const layer::ModelParts& model,
                                     const zero::ParamSource& source, DType compute,
                                     const zero::RankContext& rank);

}  // namespace zt::generate
