#include "testing/mlp_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros_like.h>

namespace zt::testing {
namespace {

using layer::Backward;
using layer::BatchShape;
using layer::Context;
using layer::Forward;
using layer::Keep;
using layer::TensorSpec;

class MlpLayer : public layer::Layer {
 public:
  MlpLayer(MlpSizes sizes, std::vector<layout::ParamId> params)
      : sizes_(sizes), params_(std::move(params)) {}
  [[nodiscard]] const std::vector<layout::ParamId>& params() const override { return params_; }
  [[nodiscard]] TensorSpec output(const BatchShape& shape, DType compute) const override {
    return {"x", {shape.tokens(), sizes_.hidden}, compute};
  }
  [[nodiscard]] std::vector<TensorSpec> stash(const BatchShape&, DType, Keep) const override {
    return {};
  }
  [[nodiscard]] std::vector<TensorSpec> forward_scratch(const BatchShape&, DType,
                                                        Keep) const override {
    return {};
  }
  [[nodiscard]] std::vector<TensorSpec> backward_scratch(const BatchShape&, DType,
                                                         Keep) const override {
    return {};
  }
  [[nodiscard]] Bytes library(const BatchShape&, DType, Device, bool) const override {
    return {1 << 20};
  }
  [[nodiscard]] double forward_flops(const BatchShape& shape) const override {
    return 2.0 * static_cast<double>(shape.tokens() * sizes_.hidden * sizes_.ffn);
  }

 protected:
  MlpSizes sizes_;
  std::vector<layout::ParamId> params_;
};

class MlpEmbedding final : public MlpLayer {
 public:
  using MlpLayer::MlpLayer;
  [[nodiscard]] std::string name() const override { return "embedding"; }
  [[nodiscard]] bool backward_reads_params() const override { return false; }
  void forward(const Context& context, Keep, const Forward& io) const override {
    io.y.copy_(at::embedding(io.params[0], context.batch->input_ids.view(-1)));
  }
  void backward(const Context& context, Keep, const Backward& io) const override {
    const auto hot = at::one_hot(context.batch->input_ids.view(-1), sizes_.vocab).to(at::kFloat);
    io.grads[0].add_(at::matmul(hot.t(), io.grad_y.to(at::kFloat)).to(io.grads[0].scalar_type()));
  }
};

/// y = x + tanh(x W1^T) W2^T; keeps h = tanh(..) unless selective.
class MlpBlock final : public MlpLayer {
 public:
  MlpBlock(MlpSizes sizes, std::vector<layout::ParamId> params, int index)
      : MlpLayer(sizes, std::move(params)), index_(index) {}
  [[nodiscard]] std::string name() const override { return "block " + std::to_string(index_); }
  [[nodiscard]] std::vector<TensorSpec> stash(const BatchShape& shape, DType compute,
                                              Keep keep) const override {
    if (keep == Keep::selective) return {{"first", {shape.tokens(), 1}, compute}};
    return {{"first", {shape.tokens(), 1}, compute}, {"h", {shape.tokens(), sizes_.ffn}, compute}};
  }
  void forward(const Context&, Keep keep, const Forward& io) const override {
    const auto h = hidden(io.x, io.params[0]);
    io.stash[0].copy_(h.narrow(1, 0, 1));
    if (keep == Keep::all) io.stash[1].copy_(h);
    io.y.copy_(io.x + at::matmul(h, io.params[1].t()));
  }
  void backward(const Context&, Keep keep, const Backward& io) const override {
    const auto h = keep == Keep::all ? io.stash[1] : hidden(io.x, io.params[0]);
    const auto grad_h = at::matmul(io.grad_y, io.params[1]) * (1 - h * h);
    const auto wide = [](const at::Tensor& t) { return t.to(at::kFloat); };
    const auto add = [](const at::Tensor& grad, const at::Tensor& value) {
      grad.add_(value.to(grad.scalar_type()));
    };
    add(io.grads[1], at::matmul(wide(io.grad_y).t(), wide(h)));
    add(io.grads[0], at::matmul(wide(grad_h).t(), wide(io.x)));
    io.grad_x.copy_(io.grad_y + at::matmul(grad_h, io.params[0]));
  }

 private:
  [[nodiscard]] static at::Tensor hidden(const at::Tensor& x, const at::Tensor& weight) {
    return at::tanh(at::matmul(x, weight.t()));
  }
  int index_;
};

class MlpHead final : public MlpLayer {
 public:
  using MlpLayer::MlpLayer;
  [[nodiscard]] std::string name() const override { return "head"; }
  [[nodiscard]] bool gives_loss() const override { return true; }
  [[nodiscard]] std::vector<TensorSpec> backward_scratch(const BatchShape& shape, DType,
                                                         Keep) const override {
    return {{"log_probs", {shape.tokens(), sizes_.vocab}, DType::f32}};
  }
  void forward(const Context& context, Keep, const Forward& io) const override {
    context.loss_sum.add_(losses(context, log_probs(io.x, io.params[1])).sum());
  }
  void backward(const Context& context, Keep, const Backward& io) const override {
    io.scratch[0].copy_(log_probs(io.x, io.params[1]));
    context.loss_sum.add_(losses(context, io.scratch[0]).sum());
    const auto targets = context.batch->targets.view(-1);
    const auto valid = targets.ge(0).to(at::kFloat).unsqueeze(1);
    const auto hot = at::one_hot(targets.clamp_min(0), sizes_.vocab).to(at::kFloat);
    const auto grad = (io.scratch[0].exp() - hot) * valid * context.loss_scale;
    const auto bias_like = io.grads[0];
    bias_like.add_(grad.sum(0).narrow(0, 0, bias_like.numel()).to(bias_like.scalar_type()));
    io.grads[1].add_(at::matmul(grad.t(), io.x.to(at::kFloat)).to(io.grads[1].scalar_type()));
    io.grad_x.copy_(at::matmul(grad, io.params[1].to(at::kFloat)));
  }

 private:
  [[nodiscard]] static at::Tensor log_probs(const at::Tensor& x, const at::Tensor& weight) {
    return at::log_softmax(at::matmul(x.to(at::kFloat), weight.to(at::kFloat).t()), 1);
  }
  [[nodiscard]] static at::Tensor losses(const Context& context, const at::Tensor& log_probs) {
    const auto targets = context.batch->targets.view(-1);
    const auto picked = log_probs.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1);
    return (-picked * targets.ge(0).to(at::kFloat)).to(at::kDouble);
  }
};

std::uint64_t mix(std::uint64_t value) {  // splitmix64
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

}  // namespace

zero::ModelParts make_mlp(const MlpSizes& sizes) {
  zero::ModelParts model;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape, bool decay) {
    layout::ParamSpec param;
    param.name = name;
    param.shape = std::move(shape);
    param.decay = decay;
    model.params.push_back(param);
    return layout::ParamId{static_cast<int>(model.params.size()) - 1};
  };
  const auto embedding = add("embedding.weight", {sizes.vocab, sizes.hidden}, true);
  model.units.push_back({"embedding", {embedding}});
  model.layers.push_back(std::make_unique<MlpEmbedding>(sizes, std::vector{embedding}));
  for (int b = 0; b < sizes.blocks; ++b) {
    const auto prefix = "blocks." + std::to_string(b);
    const auto up = add(prefix + ".up.weight", {sizes.ffn, sizes.hidden}, true);
    const auto down = add(prefix + ".down.weight", {sizes.hidden, sizes.ffn}, b % 2 == 0);
    model.units.push_back({prefix, {up, down}});
    model.layers.push_back(std::make_unique<MlpBlock>(sizes, std::vector{up, down}, b));
  }
  const auto norm = add("head.norm", {13}, false);
  std::vector<layout::ParamId> head_unit{norm};
  auto head = embedding;
  if (!sizes.tied) {
    head = add("head.weight", {sizes.vocab, sizes.hidden}, true);
    head_unit.push_back(head);
  }
  model.units.push_back({"head", head_unit});
  model.layers.push_back(std::make_unique<MlpHead>(sizes, std::vector{norm, head}));
  return model;
}

zero::ParamSource mlp_init(const MlpSizes& /*sizes*/, std::uint64_t seed) {
  return [seed](layout::ParamId id, std::int64_t begin, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto bits = mix(mix(seed + static_cast<std::uint64_t>(id.value)) +
                            static_cast<std::uint64_t>(begin) + i);
      values[i] = static_cast<float>(static_cast<double>(bits >> 40) / (1 << 24) - 0.5) * 0.2F;
    }
  };
}

layer::Batch mlp_batch(const MlpSizes& sizes, const BatchShape& shape, std::uint64_t seed) {
  layer::Batch batch;
  batch.input_ids = at::empty({shape.batch, shape.sequence}, at::kLong);
  batch.targets = at::empty({shape.batch, shape.sequence}, at::kLong);
  auto* ids = batch.input_ids.data_ptr<std::int64_t>();
  auto* targets = batch.targets.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < shape.tokens(); ++i) {
    const auto bits = mix(seed * 1000003 + static_cast<std::uint64_t>(i));
    ids[i] = static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(sizes.vocab));
    targets[i] = bits % 7 == 0 ? -100 : (ids[i] * 5 + 3) % sizes.vocab;
  }
  return batch;
}

std::int64_t mlp_targets(const layer::Batch& batch) {
  return batch.targets.ge(0).sum().item<std::int64_t>();
}

}  // namespace zt::testing
