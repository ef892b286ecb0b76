#include "tiny_layers.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/softmax.h>

namespace tiny {
namespace {

at::Tensor logits_of(const at::Tensor& weight, const at::Tensor& x) {
  return at::matmul(x.reshape({-1, kHidden}), weight.t()).to(at::kFloat);
}

void add_loss(const zt::layer::Context& context, const at::Tensor& logits) {
  const auto sum =
      at::cross_entropy_loss(logits, context.batch->targets.flatten(), {}, at::Reduction::Sum);
  at::Tensor(context.loss_sum).add_(sum.to(at::kDouble));
}

}  // namespace

zt::TensorSpec Embedding::output(const zt::BatchShape& shape, zt::DType compute) const {
  return {"x", {shape.batch, shape.sequence, kHidden}, compute};
}

zt::Bytes Embedding::library(const zt::BatchShape& shape, zt::DType compute, zt::Device,
                             bool) const {
  return output(shape, compute).bytes();
}

void Embedding::forward(const zt::layer::Context& context, zt::layer::Keep,
                        const zt::layer::Forward& io) const {
  at::Tensor(io.y).copy_(at::embedding(io.params[0], context.batch->input_ids));
}

void Embedding::backward(const zt::layer::Context& context, zt::layer::Keep,
                         const zt::layer::Backward& io) const {
  at::Tensor grad = io.grads[0];
  grad.index_add_(0, context.batch->input_ids.flatten(),
                  io.grad_y.reshape({-1, kHidden}).to(grad.dtype()));
}

zt::TensorSpec Classifier::output(const zt::BatchShape&, zt::DType compute) const {
  return {"loss", {}, compute};
}

zt::Bytes Classifier::library(const zt::BatchShape& shape, zt::DType, zt::Device, bool) const {
  return {shape.tokens() * kVocabulary * 4 * 4};  // logits and what the loss makes of them
}

double Classifier::forward_flops(const zt::BatchShape& shape) const {
  return 2.0 * static_cast<double>(shape.tokens() * kVocabulary * kHidden);
}

void Classifier::forward(const zt::layer::Context& context, zt::layer::Keep,
                         const zt::layer::Forward& io) const {
  add_loss(context, logits_of(io.params[0], io.x));
}

void Classifier::backward(const zt::layer::Context& context, zt::layer::Keep,
                          const zt::layer::Backward& io) const {
  const auto logits = logits_of(io.params[0], io.x);
  add_loss(context, logits);
  // d(sum of losses)/d(logits) is softmax - one_hot, and nothing where there is no target (-100).
  const auto targets = context.batch->targets.flatten();
  const auto one_hot = at::one_hot(targets.clamp_min(0), kVocabulary);
  const auto scale = targets.ge(0).unsqueeze(1).to(at::kFloat).mul(context.loss_scale);
  const auto grad = at::softmax(logits, 1).sub(one_hot).mul(scale);
  at::Tensor(io.grads[0]).add_(at::matmul(grad.t(), io.x.reshape({-1, kHidden}).to(at::kFloat)));
  const auto grad_x = at::matmul(grad, io.params[0].to(at::kFloat));
  at::Tensor(io.grad_x).copy_(grad_x.view_as(io.grad_x));
}

}  // namespace tiny
