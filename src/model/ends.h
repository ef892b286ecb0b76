#pragma once

#include <string>
#include <vector>

#include "layer/layer.h"
#include "layer/model_parts.h"

namespace zt::model {

class Parameters;

/// What the two ends of a causal language model are made of.
struct EndsConfig {
  std::int64_t hidden = 0, vocab = 0;
  double rms_epsilon = 1e-6;
  /// Activations between the layers are fp32 also where the run computes in 16 bits (Mamba).
  bool fp32_residual = false;
  bool tied = false;  ///< the head uses the embedding
  double init_range = 0.02;
  /// The dtype of what one layer hands to the next.
  [[nodiscard]] DType residual(DType compute) const { return fp32_residual ? DType::f32 : compute; }
};

/// Token embedding.
class EmbeddingLayer final : public layer::Layer {
 public:
  EmbeddingLayer(const EndsConfig& config, layout::ParamId weight);
  [[nodiscard]] std::string name() const override { return "embedding"; }
  [[nodiscard]] const std::vector<layout::ParamId>& params() const override { return params_; }
  [[nodiscard]] layer::TensorSpec output(const layer::BatchShape& shape,
                                         DType compute) const override;
  [[nodiscard]] bool backward_reads_params() const override { return false; }
  [[nodiscard]] std::vector<layer::TensorSpec> stash(const layer::BatchShape&, DType,
                                                     layer::Keep) const override {
    return {};
  }
  [[nodiscard]] std::vector<layer::TensorSpec> forward_scratch(const layer::BatchShape& shape,
                                                               DType compute,
                                                               layer::Keep keep) const override;
  [[nodiscard]] std::vector<layer::TensorSpec> backward_scratch(const layer::BatchShape& shape,
                                                                DType compute,
                                                                layer::Keep keep) const override;
  [[nodiscard]] Bytes library(const layer::BatchShape&, DType, Device, bool) const override {
    return {};
  }
  [[nodiscard]] double forward_flops(const layer::BatchShape&) const override { return 0; }
  void forward(const layer::Context& context, layer::Keep keep,
               const layer::Forward& io) const override;
  void backward(const layer::Context& context, layer::Keep keep,
                const layer::Backward& io) const override;

 private:
  /// Rows in the table's dtype, where the output's is wider.
  [[nodiscard]] std::vector<layer::TensorSpec> narrow_rows(const layer::BatchShape& shape,
                                                           DType compute) const;
  EndsConfig config_;
  std::vector<layout::ParamId> params_;
};

/// Final norm, LM head and cross-entropy over chunks of rows: the logits are never whole.
/// Parameters: norm, head (or the embedding when tied).
class HeadLayer final : public layer::Layer {
 public:
  HeadLayer(const EndsConfig& config, layout::ParamId norm, layout::ParamId head);
  [[nodiscard]] std::string name() const override { return "head"; }
  [[nodiscard]] const std::vector<layout::ParamId>& params() const override { return params_; }
  [[nodiscard]] layer::TensorSpec output(const layer::BatchShape&, DType) const override {
    return {};
  }
  [[nodiscard]] bool gives_loss() const override { return true; }
  [[nodiscard]] std::vector<layer::TensorSpec> stash(const layer::BatchShape&, DType,
                                                     layer::Keep) const override {
    return {};
  }
  [[nodiscard]] std::vector<layer::TensorSpec> forward_scratch(const layer::BatchShape& shape,
                                                               DType compute,
                                                               layer::Keep keep) const override;
  [[nodiscard]] std::vector<layer::TensorSpec> backward_scratch(const layer::BatchShape& shape,
                                                                DType compute,
                                                                layer::Keep keep) const override;
  [[nodiscard]] Bytes library(const layer::BatchShape& shape, DType compute, Device device,
                              bool deterministic) const override;
  [[nodiscard]] double forward_flops(const layer::BatchShape& shape) const override;
  [[nodiscard]] bool capturable() const override { return true; }
  void forward(const layer::Context& context, layer::Keep keep,
               const layer::Forward& io) const override;
  void backward(const layer::Context& context, layer::Keep keep,
                const layer::Backward& io) const override;

  /// Rows of logits that exist at once.
  [[nodiscard]] std::int64_t chunk_rows(const layer::BatchShape& shape, DType compute) const;

 private:
  EndsConfig config_;
  std::vector<layout::ParamId> params_;
};

/// Adds the table, its unit and its layer to a model that is being made; returns the table.
layout::ParamId add_embedding(const EndsConfig& config, const std::string& name, Parameters& params,
                              layer::ModelParts& model);
/// The same with the final norm, called `norm`, and the head: `embedding` where they are tied.
void add_head(const EndsConfig& config, const std::string& norm, layout::ParamId embedding,
              Parameters& params, layer::ModelParts& model);

}  // namespace zt::model
