// Shape legend: N tokens (B x T), h hidden, q = heads x head_dim, kv = kv_heads x head_dim, F ffn.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>

#include "kernels/gemm/gemm.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/swiglu/swiglu.h"
#include "layer/tensor_view.h"
#include "model/blocks.h"

namespace zt::model {

using layer::BatchShape;
using layer::Context;
using layer::fused_rows;
using layer::Keep;
using layer::Tensors;
using layer::TensorSpec;
using layer::view_of;

namespace {

/// Positions of BlockLayer::params().
enum Param : std::size_t {
  kInputNorm,
  kQ,
  kK,
  kV,
  kQNorm,
  kKNorm,
  kO,
  kPostNorm,
  kGate,
  kUp,
  kDown
};

struct Dims {
  std::int64_t N, h, q, kv, qkv, F;
};

Dims dims_of(const Qwen3Config& config, const BatchShape& shape) {
  const auto q = config.heads * config.head_dim;
  const auto kv = config.kv_heads * config.head_dim;
  return {shape.tokens(), config.hidden, q, kv, q + 2 * kv, config.ffn};
}

}  // namespace

/// Everything the forward computes; views of stash and scratch.
struct BlockLayer::Work {
  // kept by both
  at::Tensor qkv, attention, log_sum_exp, middle, rstd_input, rstd_heads, rstd_post;
  // kept by Keep::all, computed again with Keep::selective
  at::Tensor normed_input, q, k, v, normed_post, gate_up, activated;

  static Work from(const Tensors& kept, const Tensors& again) {
    return {kept[0],  kept[1],  kept[2],  kept[3],  kept[4],  kept[5],  kept[6],
            again[0], again[1], again[2], again[3], again[4], again[5], again[6]};
  }
  /// From a stash of `keep` and, for selective, the first tensors of the scratch.
  static Work of(Keep keep, const Tensors& stash, const Tensors& scratch) {
    constexpr std::ptrdiff_t kKept = 7;
    const Tensors kept(stash.begin(), stash.begin() + kKept);
    const Tensors again = keep == Keep::all ? Tensors(stash.begin() + kKept, stash.end())
                                            : Tensors(scratch.begin(), scratch.begin() + kKept);
    return from(kept, again);
  }
};

/// Temporaries of the backward.
struct BlockLayer::Grads {
  at::Tensor activated, normed, middle, attention, q, k, v, qkv, workspace;
  static Grads of(Keep keep, const Tensors& scratch) {
    const std::size_t i = keep == Keep::all ? 0 : 7;
    return {scratch[i],     scratch[i + 1], scratch[i + 2], scratch[i + 3], scratch[i + 4],
            scratch[i + 5], scratch[i + 6], scratch[i + 7], scratch[i + 8]};
  }
};

at::Tensor RopeTable::get(std::int64_t positions, const at::Tensor& like) {
  const std::lock_guard lock(mutex_);
  if (!table_.defined() || table_.size(0) < positions || table_.device() != like.device()) {
    auto host = at::empty({positions, config_.head_dim}, at::kFloat);
    kernels::rope_table(view_of(host), positions, config_.head_dim, config_.rope_theta);
    table_ = host.to(like.device());
  }
  return table_;
}

BlockLayer::BlockLayer(const Qwen3Config& config, int index, std::vector<layout::ParamId> params,
                       std::shared_ptr<RopeTable> rope)
    : config_(config), index_(index), params_(std::move(params)), rope_(std::move(rope)) {}

std::string BlockLayer::name() const { return "block " + std::to_string(index_); }

TensorSpec BlockLayer::output(const BatchShape& shape, DType compute) const {
  return {"x", {shape.tokens(), config_.hidden}, compute};
}

std::vector<TensorSpec> BlockLayer::recomputed(const BatchShape& shape, DType compute) const {
  const auto d = dims_of(config_, shape);
  const auto D = config_.head_dim;
  return {{"normed_input", {d.N, d.h}, compute},
          {"q", {shape.batch, shape.sequence, config_.heads, D}, compute},
          {"k", {shape.batch, shape.sequence, config_.kv_heads, D}, compute},
          {"v", {shape.batch, shape.sequence, config_.kv_heads, D}, compute},
          {"normed_post", {d.N, d.h}, compute},
          {"gate_up", {d.N, 2 * d.F}, compute},
          {"activated", {d.N, d.F}, compute}};
}

std::vector<TensorSpec> BlockLayer::stash(const BatchShape& shape, DType compute, Keep keep) const {
  const auto d = dims_of(config_, shape);
  std::vector<TensorSpec> specs{
      {"qkv", {d.N, d.qkv}, compute},
      {"attention", {shape.batch, shape.sequence, config_.heads, config_.head_dim}, compute},
      {"log_sum_exp", {shape.batch, config_.heads, shape.sequence}, DType::f32},
      {"middle", {d.N, d.h}, compute},
      {"rstd_input", {d.N}, DType::f32},
      {"rstd_heads", {d.N, config_.heads + config_.kv_heads}, DType::f32},
      {"rstd_post", {d.N}, DType::f32}};
  if (keep == Keep::all) {
    const auto more = recomputed(shape, compute);
    specs.insert(specs.end(), more.begin(), more.end());
  }
  return specs;
}

std::vector<TensorSpec> BlockLayer::forward_scratch(const BatchShape& shape, DType compute,
                                                    Keep keep) const {
  std::vector<TensorSpec> specs;
  if (keep == Keep::selective) specs = recomputed(shape, compute);
  specs.push_back({"projected", {shape.tokens(), config_.hidden}, compute});
  return specs;
}

std::vector<TensorSpec> BlockLayer::grad_specs(const BatchShape& shape, DType compute) const {
  const auto d = dims_of(config_, shape);
  const auto D = config_.head_dim;
  const auto workspace = std::max(kernels::rms_norm_workspace({d.N, d.h, 0}),
                                  kernels::qk_norm_rope_workspace(rope_shape(shape)));
  return {{"grad_activated", {d.N, d.F}, compute},
          {"grad_normed", {d.N, d.h}, compute},
          {"grad_middle", {d.N, d.h}, compute},
          {"grad_attention", {shape.batch, shape.sequence, config_.heads, D}, compute},
          {"grad_q", {shape.batch, shape.sequence, config_.heads, D}, compute},
          {"grad_k", {shape.batch, shape.sequence, config_.kv_heads, D}, compute},
          {"grad_v", {shape.batch, shape.sequence, config_.kv_heads, D}, compute},
          {"grad_qkv", {d.N, d.qkv}, compute},
          {"workspace", {workspace}, DType::f32}};
}

std::vector<TensorSpec> BlockLayer::backward_scratch(const BatchShape& shape, DType compute,
                                                     Keep keep) const {
  std::vector<TensorSpec> specs;
  if (keep == Keep::selective) specs = recomputed(shape, compute);
  const auto grads = grad_specs(shape, compute);
  specs.insert(specs.end(), grads.begin(), grads.end());
  return specs;
}

Bytes BlockLayer::library(const BatchShape& shape, DType compute, Device device,
                          bool deterministic) const {
  const auto d = dims_of(config_, shape);
  auto bytes = kernels::attention_library(attention_shape(shape), compute, device,
                                          deterministic && !shape.document_mask);
  if (device == Device::cpu && compute != DType::f32) {  // widened operands of the largest GEMM
    bytes = std::max(bytes, storage({d.N * (2 * d.F + d.h) + 2 * d.F * d.h}, DType::f32));
  }
  return bytes;
}

double BlockLayer::forward_flops(const BatchShape& shape) const {
  const auto d = dims_of(config_, shape);
  const double weights = static_cast<double>(d.h * d.qkv + d.q * d.h + 3 * d.h * d.F);
  const double scores = static_cast<double>(d.q) * static_cast<double>(shape.sequence);
  return 2.0 * static_cast<double>(d.N) * (weights + scores);  // causal: half of 2 x q x T
}

kernels::AttentionShape BlockLayer::attention_shape(const BatchShape& shape) const {
  return {shape.batch, shape.sequence, config_.heads, config_.kv_heads, config_.head_dim};
}

kernels::QkNormRopeShape BlockLayer::rope_shape(const BatchShape& shape) const {
  return {shape.batch,
          shape.sequence,
          config_.heads,
          config_.kv_heads,
          config_.head_dim,
          true,
          static_cast<float>(config_.rms_epsilon)};
}

void BlockLayer::norm_input(const Context& context, const Tensors& params, const at::Tensor& x,
                            const Work& work) const {
  kernels::rms_norm_forward(
      {.x = view_of(x),
       .weight = view_of(params[kInputNorm]),
       .y = view_of(work.normed_input),
       .rstd = view_of(work.rstd_input)},
      {context.shape.tokens(), config_.hidden, static_cast<float>(config_.rms_epsilon)},
      context.launch);
}

void BlockLayer::mlp_inputs(const Context& context, const Tensors& params, const Work& work) const {
  kernels::linear_forward(work.normed_post, fused_rows(params[kGate], 2 * config_.ffn),
                          work.gate_up);
  kernels::swiglu_forward(view_of(work.gate_up), view_of(work.activated), context.shape.tokens(),
                          config_.ffn, context.launch);
}

namespace {

void rope_forward(const Context& context, const kernels::QkNormRopeShape& shape,
                  const Tensors& params, const at::Tensor& table, const at::Tensor& qkv,
                  const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const at::Tensor& rstd) {
  kernels::qk_norm_rope_forward({.qkv = view_of(qkv),
                                 .q_weight = view_of(params[kQNorm]),
                                 .k_weight = view_of(params[kKNorm]),
                                 .cos_sin = view_of(table),
                                 .positions = view_of(context.batch->position_ids),
                                 .q = view_of(q),
                                 .k = view_of(k),
                                 .v = view_of(v),
                                 .rstd = view_of(rstd)},
                                shape, context.launch);
}

}  // namespace

void BlockLayer::forward(const Context& context, Keep keep, const layer::Forward& io) const {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto d = dims_of(config_, context.shape);
  const auto work = Work::of(keep, io.stash, io.scratch);
  const auto& projected = io.scratch.back();
  norm_input(context, io.params, io.x, work);
  kernels::linear_forward(work.normed_input, fused_rows(io.params[kQ], d.qkv), work.qkv);
  rope_forward(context, rope_shape(context.shape), io.params,
               rope_->get(context.shape.sequence, io.x), work.qkv, work.q, work.k, work.v,
               work.rstd_heads);
  kernels::attention_forward(work.q, work.k, work.v, context.batch->cu_seqlens, work.attention,
                             work.log_sum_exp, attention_shape(context.shape),
                             context.deterministic, context.launch);
  kernels::linear_forward(work.attention.view({d.N, d.q}), io.params[kO], projected);
  kernels::rms_norm_forward({.x = view_of(projected),
                             .residual = view_of(io.x),
                             .sum = view_of(work.middle),
                             .weight = view_of(io.params[kPostNorm]),
                             .y = view_of(work.normed_post),
                             .rstd = view_of(work.rstd_post)},
                            {d.N, d.h, static_cast<float>(config_.rms_epsilon)}, context.launch);
  mlp_inputs(context, io.params, work);
  if (!io.y.defined()) return;
  kernels::linear_forward_residual(work.activated, io.params[kDown], work.middle, io.y);
}

void BlockLayer::mlp_backward(const Context& context, const layer::Backward& io, const Work& work,
                              const Grads& grads) const {
  const auto d = dims_of(config_, context.shape);
  kernels::linear_backward_input(io.grad_y, io.params[kDown], grads.activated, false);
  kernels::linear_backward_weight(io.grad_y, work.activated, io.grads[kDown]);
  kernels::swiglu_backward(view_of(work.gate_up), view_of(grads.activated), view_of(work.gate_up),
                           d.N, d.F, context.launch);  // gate_up becomes its gradient
  kernels::linear_backward_weight(work.gate_up, work.normed_post,
                                  fused_rows(io.grads[kGate], 2 * d.F));
  kernels::linear_backward_input(work.gate_up, fused_rows(io.params[kGate], 2 * d.F), grads.normed,
                                 false);
  kernels::rms_norm_backward({.x = view_of(work.middle),
                              .weight = view_of(io.params[kPostNorm]),
                              .rstd = view_of(work.rstd_post),
                              .grad_y = view_of(grads.normed),
                              .grad_residual = view_of(io.grad_y),
                              .grad_x = view_of(grads.middle),
                              .grad_weight = view_of(io.grads[kPostNorm]),
                              .workspace = view_of(grads.workspace)},
                             {d.N, d.h, static_cast<float>(config_.rms_epsilon)}, context.launch);
}

void BlockLayer::attention_backward(const Context& context, const layer::Backward& io,
                                    const Work& work, const Grads& grads) const {
  const auto d = dims_of(config_, context.shape);
  kernels::linear_backward_input(grads.middle, io.params[kO], grads.attention.view({d.N, d.q}),
                                 false);
  kernels::linear_backward_weight(grads.middle, work.attention.view({d.N, d.q}), io.grads[kO]);
  kernels::AttentionBackward attention{
      work.q,         work.k,           work.v,         context.batch->cu_seqlens,
      work.attention, work.log_sum_exp, grads.attention};
  if (context.launch.device == Device::cpu) {
    attention.grad_q = grads.q;
    attention.grad_k = grads.k;
    attention.grad_v = grads.v;
  }
  const auto heads = kernels::attention_backward(attention, attention_shape(context.shape),
                                                 context.deterministic, context.launch);
  kernels::qk_norm_rope_backward({.qkv = view_of(work.qkv),
                                  .q_weight = view_of(io.params[kQNorm]),
                                  .k_weight = view_of(io.params[kKNorm]),
                                  .cos_sin = view_of(rope_->get(context.shape.sequence, io.x)),
                                  .positions = view_of(context.batch->position_ids),
                                  .rstd = view_of(work.rstd_heads),
                                  .grad_q = view_of(heads.q),
                                  .grad_k = view_of(heads.k),
                                  .grad_v = view_of(heads.v),
                                  .grad_qkv = view_of(grads.qkv),
                                  .grad_q_weight = view_of(io.grads[kQNorm]),
                                  .grad_k_weight = view_of(io.grads[kKNorm]),
                                  .workspace = view_of(grads.workspace)},
                                 rope_shape(context.shape), context.launch);
  kernels::linear_backward_weight(grads.qkv, work.normed_input, fused_rows(io.grads[kQ], d.qkv));
  kernels::linear_backward_input(grads.qkv, fused_rows(io.params[kQ], d.qkv), grads.normed, false);
  kernels::rms_norm_backward({.x = view_of(io.x),
                              .weight = view_of(io.params[kInputNorm]),
                              .rstd = view_of(work.rstd_input),
                              .grad_y = view_of(grads.normed),
                              .grad_residual = view_of(grads.middle),
                              .grad_x = view_of(io.grad_x),
                              .grad_weight = view_of(io.grads[kInputNorm]),
                              .workspace = view_of(grads.workspace)},
                             {d.N, d.h, static_cast<float>(config_.rms_epsilon)}, context.launch);
}

void BlockLayer::backward(const Context& context, Keep keep, const layer::Backward& io) const {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto d = dims_of(config_, context.shape);
  const auto work = Work::of(keep, io.stash, io.scratch);
  const auto grads = Grads::of(keep, io.scratch);
  if (keep == Keep::selective) {
    norm_input(context, io.params, io.x, work);
    rope_forward(context, rope_shape(context.shape), io.params,
                 rope_->get(context.shape.sequence, io.x), work.qkv, work.q, work.k, work.v,
                 work.rstd_heads);
    kernels::rms_norm_forward({.x = view_of(work.middle),
                               .weight = view_of(io.params[kPostNorm]),
                               .y = view_of(work.normed_post),
                               .rstd = view_of(work.rstd_post)},
                              {d.N, d.h, static_cast<float>(config_.rms_epsilon)}, context.launch);
    mlp_inputs(context, io.params, work);
  }
  mlp_backward(context, io, work, grads);
  attention_backward(context, io, work, grads);
}

}  // namespace zt::model
