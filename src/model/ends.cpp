// The two ends of the model: token embedding, and final norm + LM head + cross-entropy.
#include "model/ends.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "kernels/cast/cast.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gemm/gemm.h"
#include "kernels/rms_norm/rms_norm.h"
#include "layer/tensor_view.h"
#include "model/parameters.h"

namespace zt::model {

using layer::BatchShape;
using layer::Context;
using layer::Keep;
using layer::TensorSpec;
using layer::view_of;

EmbeddingLayer::EmbeddingLayer(const EndsConfig& config, layout::ParamId weight)
    : config_(config), params_{weight} {}

TensorSpec EmbeddingLayer::output(const BatchShape& shape, DType compute) const {
  return {"x", {shape.tokens(), config_.hidden}, config_.residual(compute)};
}

std::vector<TensorSpec> EmbeddingLayer::narrow_rows(const BatchShape& shape, DType compute) const {
  if (config_.residual(compute) == compute) return {};
  return {{"rows", {shape.tokens(), config_.hidden}, compute}};
}

std::vector<TensorSpec> EmbeddingLayer::forward_scratch(const BatchShape& shape, DType compute,
                                                        Keep /*keep*/) const {
  return narrow_rows(shape, compute);
}

std::vector<TensorSpec> EmbeddingLayer::backward_scratch(const BatchShape& shape, DType compute,
                                                         Keep /*keep*/) const {
  std::vector<TensorSpec> specs{
      {"order", {kernels::embedding_workspace(shape.tokens())}, DType::i64}};
  for (auto& spec : narrow_rows(shape, compute)) specs.push_back(std::move(spec));
  return specs;
}

void EmbeddingLayer::forward(const Context& context, Keep /*keep*/,
                             const layer::Forward& io) const {
  const bool widen = !io.scratch.empty();
  const auto& rows = widen ? io.scratch[0] : io.y;
  kernels::embedding_forward(view_of(context.batch->input_ids), view_of(io.params[0]),
                             view_of(rows), config_.vocab, config_.hidden, context.launch);
  if (widen) kernels::cast(view_of(rows), view_of(io.y), context.launch);
}

void EmbeddingLayer::backward(const Context& context, Keep /*keep*/,
                              const layer::Backward& io) const {
  const bool widened = io.scratch.size() > 1;
  const auto& grad = widened ? io.scratch[1] : io.grad_y;
  if (widened) kernels::cast(view_of(io.grad_y), view_of(grad), context.launch);
  kernels::embedding_backward(view_of(context.batch->input_ids), view_of(grad),
                              view_of(io.grads[0]), view_of(io.scratch[0]), config_.vocab,
                              config_.hidden, context.launch);
}

HeadLayer::HeadLayer(const EndsConfig& config, layout::ParamId norm, layout::ParamId head)
    : config_(config), params_{norm, head} {}

std::int64_t HeadLayer::chunk_rows(const BatchShape& shape, DType compute) const {
  // Each chunk reads and writes the whole weight gradient: about 2000 rows of logits hide that
  // behind the products. Chunks are of one size as far as that goes.
  constexpr std::int64_t kChunkBytes = 640LL << 20, kRows = 64;
  const auto tokens = shape.tokens();
  const auto most =
      std::clamp(kChunkBytes / (config_.vocab * size_of(compute).value) / kRows * kRows,
                 std::min(kRows, tokens), tokens);
  const auto chunks = (tokens + most - 1) / most;
  return std::min(round_up((tokens + chunks - 1) / chunks, kRows), most);
}

std::vector<TensorSpec> HeadLayer::forward_scratch(const BatchShape& shape, DType compute,
                                                   Keep /*keep*/) const {
  return {{"normed", {shape.tokens(), config_.hidden}, compute},
          {"logits", {chunk_rows(shape, compute), config_.vocab}, compute},
          {"row_loss", {shape.tokens()}, DType::f32}};
}

std::vector<TensorSpec> HeadLayer::backward_scratch(const BatchShape& shape, DType compute,
                                                    Keep keep) const {
  auto specs = forward_scratch(shape, compute, keep);
  specs.push_back({"rstd", {shape.tokens()}, DType::f32});
  specs.push_back({"grad_normed", {shape.tokens(), config_.hidden}, compute});
  specs.push_back({"workspace",
                   {kernels::rms_norm_workspace({shape.tokens(), config_.hidden, 0})},
                   DType::f32});
  return specs;
}

Bytes HeadLayer::library(const BatchShape& shape, DType compute, Device device,
                         bool /*deterministic*/) const {
  if (device == Device::cuda || compute == DType::f32) return {};
  const auto rows = chunk_rows(shape, compute);  // widened operands and the product
  return storage({rows * (config_.vocab + config_.hidden) + config_.vocab * config_.hidden},
                 DType::f32);
}

double HeadLayer::forward_flops(const BatchShape& shape) const {
  return 2.0 * static_cast<double>(shape.tokens()) *
         static_cast<double>(config_.vocab * config_.hidden);
}

void HeadLayer::forward(const Context& context, Keep /*keep*/, const layer::Forward& io) const {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto tokens = context.shape.tokens();
  const auto& normed = io.scratch[0];
  const auto targets = context.batch->targets.view(-1);
  kernels::rms_norm_forward(
      {.x = view_of(io.x), .weight = view_of(io.params[0]), .y = view_of(normed)},
      {tokens, config_.hidden, static_cast<float>(config_.rms_epsilon)}, context.launch);
  const auto chunk = io.scratch[1].size(0);
  for (std::int64_t begin = 0; begin < tokens; begin += chunk) {
    const auto rows = std::min(chunk, tokens - begin);
    const auto logits = io.scratch[1].narrow(0, 0, rows);
    kernels::linear_forward(normed.narrow(0, begin, rows), io.params[1], logits);
    kernels::cross_entropy({.logits = view_of(logits),
                            .targets = view_of(targets.narrow(0, begin, rows)),
                            .row_loss = view_of(io.scratch[2].narrow(0, begin, rows)),
                            .loss_sum = view_of(context.loss_sum)},
                           rows, config_.vocab, 0.0, context.launch);
    if (context.hits.defined()) {  // a target of -100 is no row's best
      const auto best = at::argmax(logits, 1);
      context.hits.add_(at::eq(best, targets.narrow(0, begin, rows)).sum());
    }
  }
}

void HeadLayer::backward(const Context& context, Keep /*keep*/, const layer::Backward& io) const {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto tokens = context.shape.tokens();
  const auto& normed = io.scratch[0];
  const auto& rstd = io.scratch[3];
  const auto& grad_normed = io.scratch[4];
  const auto targets = context.batch->targets.view(-1);
  const kernels::RmsNormShape shape{tokens, config_.hidden,
                                    static_cast<float>(config_.rms_epsilon)};
  kernels::rms_norm_forward({.x = view_of(io.x),
                             .weight = view_of(io.params[0]),
                             .y = view_of(normed),
                             .rstd = view_of(rstd)},
                            shape, context.launch);
  const auto chunk = io.scratch[1].size(0);
  for (std::int64_t begin = 0; begin < tokens; begin += chunk) {
    const auto rows = std::min(chunk, tokens - begin);
    const auto logits = io.scratch[1].narrow(0, 0, rows);
    const auto input = normed.narrow(0, begin, rows);
    kernels::linear_forward(input, io.params[1], logits);
    kernels::cross_entropy({.logits = view_of(logits),
                            .targets = view_of(targets.narrow(0, begin, rows)),
                            .grad = view_of(logits),
                            .row_loss = view_of(io.scratch[2].narrow(0, begin, rows)),
                            .loss_sum = view_of(context.loss_sum),
                            .scale = view_of(context.loss_scale_on_device)},
                           rows, config_.vocab, context.loss_scale, context.launch);
    kernels::linear_backward_input(logits, io.params[1], grad_normed.narrow(0, begin, rows), false);
    kernels::linear_backward_weight(logits, input, io.grads[1]);
  }
  kernels::rms_norm_backward({.x = view_of(io.x),
                              .weight = view_of(io.params[0]),
                              .rstd = view_of(rstd),
                              .grad_y = view_of(grad_normed),
                              .grad_x = view_of(io.grad_x),
                              .grad_weight = view_of(io.grads[0]),
                              .workspace = view_of(io.scratch[5])},
                             shape, context.launch);
}

layout::ParamId add_embedding(const EndsConfig& config, const std::string& name, Parameters& params,
                              layer::ModelParts& model) {
  const auto table = params.matrix(name, config.vocab, config.hidden, config.init_range);
  if (config.tied) params.at(table).aliases.push_back("lm_head.weight");
  model.units.push_back({"embedding", {table}});
  model.layers.push_back(std::make_unique<EmbeddingLayer>(config, table));
  return table;
}

void add_head(const EndsConfig& config, const std::string& norm, layout::ParamId embedding,
              Parameters& params, layer::ModelParts& model) {
  std::vector<layout::ParamId> unit{params.norm(norm, config.hidden)};
  if (!config.tied) {
    unit.push_back(params.matrix("lm_head.weight", config.vocab, config.hidden, config.init_range));
  }
  const auto head = config.tied ? embedding : unit.back();
  model.layers.push_back(std::make_unique<HeadLayer>(config, unit.front(), head));
  model.units.push_back({"head", std::move(unit)});
}

}  // namespace zt::model
