#pragma once

#include <memory>
#include <vector>

#include "zerotrain/zerotrain.h"

namespace tiny {

inline constexpr std::int64_t kVocabulary = 27, kHidden = 16, kBatch = 4, kLength = 32;

/// What both layers below leave at nothing: they keep no stash and need no planned temporaries.
class PlainLayer : public zt::Layer {
 public:
  [[nodiscard]] const std::vector<zt::ParamId>& params() const override { return params_; }
  [[nodiscard]] std::vector<zt::TensorSpec> stash(const zt::BatchShape&, zt::DType,
                                                  zt::layer::Keep) const override {
    return {};
  }
  [[nodiscard]] std::vector<zt::TensorSpec> forward_scratch(const zt::BatchShape&, zt::DType,
                                                            zt::layer::Keep) const override {
    return {};
  }
  [[nodiscard]] std::vector<zt::TensorSpec> backward_scratch(const zt::BatchShape&, zt::DType,
                                                             zt::layer::Keep) const override {
    return {};
  }

 protected:
  explicit PlainLayer(int param) : params_{{param}} {}

 private:
  std::vector<zt::ParamId> params_;
};

/// Letters [B, T] to rows of a table, [B, T, H].
class Embedding final : public PlainLayer {
 public:
  Embedding() : PlainLayer(0) {}
  [[nodiscard]] std::string name() const override { return "embedding"; }
  [[nodiscard]] zt::TensorSpec output(const zt::BatchShape& shape,
                                      zt::DType compute) const override;
  [[nodiscard]] bool backward_reads_params() const override { return false; }
  [[nodiscard]] zt::Bytes library(const zt::BatchShape& shape, zt::DType compute, zt::Device,
                                  bool) const override;
  [[nodiscard]] double forward_flops(const zt::BatchShape&) const override { return 0; }
  void forward(const zt::layer::Context& context, zt::layer::Keep,
               const zt::layer::Forward& io) const override;
  void backward(const zt::layer::Context& context, zt::layer::Keep,
                const zt::layer::Backward& io) const override;
};

/// Hidden states [B, T, H] to the sum of cross-entropies of the next letters.
class Classifier final : public PlainLayer {
 public:
  Classifier() : PlainLayer(1) {}
  [[nodiscard]] std::string name() const override { return "classifier"; }
  [[nodiscard]] zt::TensorSpec output(const zt::BatchShape&, zt::DType compute) const override;
  [[nodiscard]] bool gives_loss() const override { return true; }
  [[nodiscard]] zt::Bytes library(const zt::BatchShape& shape, zt::DType, zt::Device,
                                  bool) const override;
  [[nodiscard]] double forward_flops(const zt::BatchShape& shape) const override;
  void forward(const zt::layer::Context& context, zt::layer::Keep,
               const zt::layer::Forward& io) const override;
  void backward(const zt::layer::Context& context, zt::layer::Keep,
                const zt::layer::Backward& io) const override;
};

}  // namespace tiny
