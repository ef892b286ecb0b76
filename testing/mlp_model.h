#pragma once

#include <cstdint>

#include "zero/engine.h"

namespace zt::testing {

/// A small language model of ATen calls with explicit backward: embedding, residual tanh blocks and
/// a (tied) softmax head. Shows that the engine takes any list of layers; sizes may be odd.
struct MlpSizes {
  std::int64_t vocab = 37, hidden = 24, ffn = 40;
  int blocks = 3;
  bool tied = true;
};
zero::ModelParts make_mlp(const MlpSizes& sizes);

/// Values in [-0.1, 0.1) that depend on the parameter and the element only.
zero::ParamSource mlp_init(const MlpSizes& sizes, std::uint64_t seed);

/// A batch of tokens that depends on `seed` only; every seventh target is -100.
layer::Batch mlp_batch(const MlpSizes& sizes, const layer::BatchShape& shape, std::uint64_t seed);
/// Targets of mlp_batch that are not -100.
std::int64_t mlp_targets(const layer::Batch& batch);

}  // namespace zt::testing
