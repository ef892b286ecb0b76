#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "generate/weights.h"
#include "model/ends.h"

namespace zt::generate {

/// The two ends of a decoder: tokens to activations, activations to logits.
class DecoderEnds {
 public:
  /// Of the first and the last layer of `model`.
  DecoderEnds(const model::EndsConfig& config, const layer::ModelParts& model,
              const Weights& weights);

  /// [n, hidden] in the residual's dtype. `ids` [n] int64.
  [[nodiscard]] at::Tensor embed(const at::Tensor& ids, const Launch& launch) const;
  /// [n, vocab] in the compute dtype.
  [[nodiscard]] at::Tensor logits(const at::Tensor& x, const Launch& launch) const;
  [[nodiscard]] const model::EndsConfig& config() const { return config_; }
  /// Device and compute dtype.
  [[nodiscard]] at::TensorOptions options() const { return embedding_.options(); }

 private:
  model::EndsConfig config_;
  at::Tensor embedding_, norm_, head_;
};

/// A host list as an int64 tensor on the device of `like`.
[[nodiscard]] at::Tensor index_tensor(const std::vector<std::int64_t>& values,
                                      const at::TensorOptions& like);

}  // namespace zt::generate
