#pragma once

#include <vector>

#include "layer/model_parts.h"

namespace zt::testing {

/// Result of one forward and backward over a list of layers without the engine: plain tensors, no
/// sharding. `grads` by ParamId, fp32; `hidden` is the input of the loss layer.
struct LayersResult {
  double loss_sum = 0;
  at::Tensor hidden;
  std::vector<at::Tensor> grads;
};

/// Walks the layers forward and backward. `params` by ParamId in the compute dtype; parameters with
/// ParamSpec::adjacent must follow their predecessor in memory (flatten_params does that).
LayersResult run_layers(const layer::ModelParts& model, const std::vector<at::Tensor>& params,
                        const layer::Context& context, layer::Keep keep);

/// Tensors of all parameters, unit by unit in one flat piece of memory each, zero-filled.
std::vector<at::Tensor> flatten_params(const layer::ModelParts& model, at::ScalarType dtype);

}  // namespace zt::testing
