#pragma once

#include <memory>
#include <utility>

#include "zero/engine.h"

namespace zt::plan {

/// Sizes of a transformer, without arithmetic: what planning needs of a model.
struct TestShape {
  std::int64_t vocab = 30000, hidden = 1024, blocks = 24, block_params = 12 * 1024 * 1024;
  std::int64_t stash_per_token = 20 * 1024, selective_per_token = 6 * 1024;  ///< elements
};

/// A layer that only declares sizes. Stashes are per token; scratch is one hidden row per token.
class SizedLayer : public layer::Layer {
 public:
  enum class Kind { embedding, block, loss };
  SizedLayer(Kind kind, TestShape shape, std::vector<layout::ParamId> params)
      : kind_(kind), shape_(shape), params_(std::move(params)) {}

  [[nodiscard]] std::string name() const override {
    return kind_ == Kind::embedding ? "embedding" : kind_ == Kind::block ? "block" : "loss";
  }
  [[nodiscard]] const std::vector<layout::ParamId>& params() const override { return params_; }
  [[nodiscard]] layer::TensorSpec output(const layer::BatchShape& batch,
                                         DType compute) const override {
    if (gives_loss()) return {"none", {0}, compute};
    return {"y", {batch.tokens(), shape_.hidden}, compute};
  }
  [[nodiscard]] bool gives_loss() const override { return kind_ == Kind::loss; }
  [[nodiscard]] bool backward_reads_params() const override { return kind_ != Kind::embedding; }
  [[nodiscard]] std::vector<layer::TensorSpec> stash(const layer::BatchShape& batch, DType compute,
                                                     layer::Keep keep) const override {
    if (kind_ != Kind::block) return {};
    const auto width =
        keep == layer::Keep::all ? shape_.stash_per_token : shape_.selective_per_token;
    return {{"stash", {batch.tokens(), width}, compute}};
  }
  [[nodiscard]] std::vector<layer::TensorSpec> forward_scratch(const layer::BatchShape& batch,
                                                               DType compute,
                                                               layer::Keep) const override {
    return {{"scratch", {batch.tokens(), shape_.hidden}, compute}};
  }
  [[nodiscard]] std::vector<layer::TensorSpec> backward_scratch(const layer::BatchShape& batch,
                                                                DType compute,
                                                                layer::Keep) const override {
    return {{"scratch", {batch.tokens(), shape_.hidden * 2}, compute}};
  }
  [[nodiscard]] Bytes library(const layer::BatchShape&, DType, Device, bool) const override {
    return {1000};
  }
  [[nodiscard]] double forward_flops(const layer::BatchShape& batch) const override {
    return 2. * static_cast<double>(shape_.block_params * batch.tokens());
  }
  void forward(const layer::Context&, layer::Keep, const layer::Forward&) const override {}
  void backward(const layer::Context&, layer::Keep, const layer::Backward&) const override {}

 private:
  Kind kind_;
  TestShape shape_;
  std::vector<layout::ParamId> params_;
};

/// Embedding, blocks and a loss layer, one parameter and one unit each.
inline zero::ModelParts sized_model(const TestShape& shape) {
  using Kind = SizedLayer::Kind;
  zero::ModelParts model;
  const auto add = [&](Kind kind, std::vector<std::int64_t> sizes, const std::string& name) {
    const layout::ParamId id{static_cast<int>(model.params.size())};
    layout::ParamSpec param;
    param.name = name;
    param.shape = std::move(sizes);
    model.params.push_back(param);
    model.units.push_back({name, {id}});
    model.layers.push_back(
        std::make_unique<SizedLayer>(kind, shape, std::vector<layout::ParamId>{id}));
  };
  add(Kind::embedding, {shape.vocab, shape.hidden}, "embedding");
  for (int b = 0; b < shape.blocks; ++b) {
    add(Kind::block, {shape.block_params}, "block" + std::to_string(b));
  }
  add(Kind::loss, {shape.vocab, shape.hidden}, "loss");
  return model;
}

}  // namespace zt::plan
