// Shape legend: N tokens (B x T), h hidden, D inner channels, S states, R rank of the time step.
#include "model/mamba_block.h"

#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>

#include "kernels/cast/cast.h"
#include "kernels/gemm/gemm.h"
#include "kernels/rms_norm/rms_norm.h"
#include "layer/tensor_view.h"

namespace zt::model {

using kernels::columns_of;
using kernels::TokenMatrix;
using layer::BatchShape;
using layer::Context;
using layer::Keep;
using layer::Tensors;
using layer::TensorSpec;
using layer::view_of;

namespace {

struct Dims {
  std::int64_t N, h, D, S, R, small;  ///< small: width of x_proj's output, R + 2 S
};

Dims dims_of(const MambaConfig& config, const BatchShape& shape) {
  return {shape.tokens(), config.hidden, config.inner,
          config.state,   config.rank,   config.rank + 2 * config.state};
}

/// Where documents restart; empty when each row is one document.
View restarts(const Context& context) {
  return context.shape.document_mask ? view_of(context.batch->position_ids) : View{};
}

TokenMatrix whole(const at::Tensor& matrix) { return {view_of(matrix)}; }

}  // namespace

struct MambaLayer::Named {
  at::Tensor norm, in_proj, conv, conv_bias, x_proj, dt_proj, out_proj, a_log, skip, dt_bias;
};

MambaLayer::Named MambaLayer::named(const Tensors& tensors) const {
  auto next = tensors.begin();
  Named result;
  result.norm = *next++;
  result.in_proj = *next++;
  result.conv = *next++;
  if (config_.conv_bias) result.conv_bias = *next++;
  result.x_proj = *next++;
  result.dt_proj = *next++;
  result.out_proj = *next++;
  result.a_log = *next++;
  result.skip = *next++;
  result.dt_bias = *next++;
  return result;
}

/// Everything the forward computes; views of stash and scratch.
struct MambaLayer::Work {
  // kept by both: [N, 2 D] (x, then gate), [N, R + 2 S] (time step, B, C)
  at::Tensor projected, small, states, rstd;
  // kept by Keep::all, computed again with Keep::selective
  at::Tensor normed, u, delta;

  /// From a stash of `keep` and, for selective, the first tensors of the scratch.
  static Work of(Keep keep, const Tensors& stash, const Tensors& scratch) {
    constexpr std::size_t kKept = 4;
    const auto* again = keep == Keep::all ? &stash[kKept] : scratch.data();
    return {stash[0], stash[1], stash[2], stash[3], again[0], again[1], again[2]};
  }
};

/// Temporaries of the backward.
struct MambaLayer::Grads {
  at::Tensor scanned, u, projected, hidden, workspace;
  static Grads of(Keep keep, const Tensors& scratch) {
    const std::size_t i = keep == Keep::all ? 0 : 3;
    return {scratch[i], scratch[i + 1], scratch[i + 2], scratch[i + 3], scratch[i + 4]};
  }
};

MambaLayer::MambaLayer(const MambaConfig& config, int index, std::vector<layout::ParamId> params)
    : config_(config), index_(index), params_(std::move(params)) {}

std::string MambaLayer::name() const { return "block " + std::to_string(index_); }

TensorSpec MambaLayer::output(const BatchShape& shape, DType compute) const {
  return {"x", {shape.tokens(), config_.hidden}, config_.ends().residual(compute)};
}

std::vector<TensorSpec> MambaLayer::recomputed(const BatchShape& shape, DType compute) const {
  const auto d = dims_of(config_, shape);
  return {
      {"normed", {d.N, d.h}, compute}, {"u", {d.N, d.D}, compute}, {"delta", {d.N, d.D}, compute}};
}

std::vector<TensorSpec> MambaLayer::stash(const BatchShape& shape, DType compute, Keep keep) const {
  const auto d = dims_of(config_, shape);
  std::vector<TensorSpec> specs{{"projected", {d.N, 2 * d.D}, compute},
                                {"small", {d.N, d.small}, compute},
                                {"states", {kernels::scan_states(scan_shape(shape))}, DType::f32},
                                {"rstd", {d.N}, DType::f32}};
  if (keep == Keep::all) {
    for (auto& spec : recomputed(shape, compute)) specs.push_back(std::move(spec));
  }
  return specs;
}

std::vector<TensorSpec> MambaLayer::forward_scratch(const BatchShape& shape, DType compute,
                                                    Keep keep) const {
  std::vector<TensorSpec> specs;
  if (keep == Keep::selective) specs = recomputed(shape, compute);
  specs.push_back({"scanned", {shape.tokens(), config_.inner}, compute});
  specs.push_back({"workspace", {kernels::scan_forward_workspace(scan_shape(shape))}, DType::f32});
  return specs;
}

std::vector<TensorSpec> MambaLayer::backward_scratch(const BatchShape& shape, DType compute,
                                                     Keep keep) const {
  const auto d = dims_of(config_, shape);
  const auto workspace = std::max({kernels::scan_backward_workspace(scan_shape(shape)),
                                   kernels::conv_workspace(conv_shape(shape)),
                                   kernels::rms_norm_workspace({d.N, d.h, 0})});
  std::vector<TensorSpec> specs;
  if (keep == Keep::selective) specs = recomputed(shape, compute);
  specs.push_back({"grad_scanned", {d.N, d.D}, compute});
  specs.push_back({"grad_u", {d.N, d.D}, compute});
  specs.push_back({"grad_projected", {d.N, 2 * d.D}, compute});
  specs.push_back({"grad_hidden", {d.N, d.h}, compute});
  specs.push_back({"workspace", {workspace}, DType::f32});
  return specs;
}

Bytes MambaLayer::library(const BatchShape& shape, DType /*compute*/, Device device,
                          bool /*deterministic*/) const {
  if (device == Device::cuda) return {};
  const auto d = dims_of(config_, shape);
  // Operands and product of the largest GEMM, widened or made contiguous.
  return storage({d.N * (2 * d.D + d.h) + 2 * d.D * d.h}, DType::f32);
}

double MambaLayer::forward_flops(const BatchShape& shape) const {
  const auto d = dims_of(config_, shape);
  const auto weights =
      3 * d.h * d.D + d.D * d.small + d.R * d.D + d.D * config_.conv + 3 * d.D * d.S;
  return 2.0 * static_cast<double>(d.N) * static_cast<double>(weights);
}

kernels::ScanShape MambaLayer::scan_shape(const BatchShape& shape) const {
  return {shape.batch, shape.sequence, config_.inner, config_.state};
}

kernels::ConvShape MambaLayer::conv_shape(const BatchShape& shape) const {
  return {shape.batch, shape.sequence, config_.inner, config_.conv};
}

void MambaLayer::norm_input(const Context& context, const Named& params, const at::Tensor& x,
                            const Work& work) const {
  kernels::rms_norm_forward(
      {.x = view_of(x),
       .weight = view_of(params.norm),
       .y = view_of(work.normed),
       .rstd = view_of(work.rstd)},
      {context.shape.tokens(), config_.hidden, static_cast<float>(config_.rms_epsilon)},
      context.launch);
}

void MambaLayer::convolve(const Context& context, const Named& params, const Work& work) const {
  kernels::causal_conv1d_forward(
      {.in = {.x = columns_of(view_of(work.projected), 2 * config_.inner, 0),
              .weight = view_of(params.conv),
              .bias = view_of(params.conv_bias),
              .positions = restarts(context)},
       .y = whole(work.u)},
      conv_shape(context.shape), context.launch);
}

kernels::ScanInputs MambaLayer::scan_inputs(const Context& context, const Named& params,
                                            const Work& work) const {
  const auto d = dims_of(config_, context.shape);
  const auto small = view_of(work.small);
  return {.u = whole(work.u),
          .delta = whole(work.delta),
          .b = columns_of(small, d.small, d.R),
          .c = columns_of(small, d.small, d.R + d.S),
          .z = columns_of(view_of(work.projected), 2 * d.D, d.D),
          .a_log = view_of(params.a_log),
          .skip = view_of(params.skip),
          .delta_bias = view_of(params.dt_bias),
          .positions = restarts(context)};
}

void MambaLayer::forward(const Context& context, Keep keep, const layer::Forward& io) const {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto params = named(io.params);
  const auto work = Work::of(keep, io.stash, io.scratch);
  const auto& scanned = io.scratch[io.scratch.size() - 2];
  norm_input(context, params, io.x, work);
  kernels::linear_forward(work.normed, params.in_proj, work.projected);
  convolve(context, params, work);
  kernels::linear_forward(work.u, params.x_proj, work.small);
  kernels::linear_forward(work.small.narrow(1, 0, config_.rank), params.dt_proj, work.delta);
  kernels::selective_scan_forward({.in = scan_inputs(context, params, work),
                                   .y = whole(scanned),
                                   .states = view_of(work.states),
                                   .initial_state = {},
                                   .final_state = {},
                                   .workspace = view_of(io.scratch.back())},
                                  scan_shape(context.shape), context.launch);
  if (!io.y.defined()) return;
  kernels::linear_forward_residual(scanned, params.out_proj, io.x, io.y);
}

/// Gradients of the scan's inputs: of u, of the gate (into the second half of grad projected), and
/// over delta, B and C themselves. The scan's output goes into the first half of grad projected.
void MambaLayer::scan_backward(const Context& context, const Named& params, const Named& grads,
                               const Work& work, const Grads& scratch) const {
  const auto width = 2 * config_.inner;
  const auto in = scan_inputs(context, params, work);
  const auto projected = view_of(scratch.projected);
  kernels::selective_scan_backward({.in = in,
                                    .states = view_of(work.states),
                                    .grad_y = whole(scratch.scanned),
                                    .grads = {.u = whole(scratch.u),
                                              .delta = in.delta,
                                              .b = in.b,
                                              .c = in.c,
                                              .z = columns_of(projected, width, config_.inner),
                                              .a_log = view_of(grads.a_log),
                                              .skip = view_of(grads.skip),
                                              .delta_bias = view_of(grads.dt_bias)},
                                    .y = columns_of(projected, width, 0),
                                    .workspace = view_of(scratch.workspace)},
                                   scan_shape(context.shape), context.launch);
}

/// From the gradients of the scan's inputs to that of the input projection's output.
void MambaLayer::inner_backward(const Context& context, const Named& params, const Named& grads,
                                const Work& work, const Grads& scratch) const {
  const auto width = 2 * config_.inner;
  const auto time_step = work.small.narrow(1, 0, config_.rank);
  kernels::linear_backward_weight(work.delta, time_step, grads.dt_proj);
  kernels::linear_backward_input(work.delta, params.dt_proj, time_step, false);
  kernels::linear_backward_weight(work.small, work.u, grads.x_proj);
  kernels::linear_backward_input(work.small, params.x_proj, scratch.u, true);
  kernels::causal_conv1d_backward({.in = {.x = columns_of(view_of(work.projected), width, 0),
                                          .weight = view_of(params.conv),
                                          .bias = view_of(params.conv_bias),
                                          .positions = restarts(context)},
                                   .grad_y = whole(scratch.u),
                                   .grad_x = columns_of(view_of(scratch.projected), width, 0),
                                   .grad_weight = view_of(grads.conv),
                                   .grad_bias = view_of(grads.conv_bias),
                                   .workspace = view_of(scratch.workspace)},
                                  conv_shape(context.shape), context.launch);
}

void MambaLayer::backward(const Context& context, Keep keep, const layer::Backward& io) const {
  const at::AutoDispatchBelowAutograd below_autograd;
  const auto d = dims_of(config_, context.shape);
  const auto params = named(io.params), grads = named(io.grads);
  const auto work = Work::of(keep, io.stash, io.scratch);
  const auto scratch = Grads::of(keep, io.scratch);
  if (keep == Keep::selective) {
    norm_input(context, params, io.x, work);
    convolve(context, params, work);
    kernels::linear_forward(work.small.narrow(1, 0, d.R), params.dt_proj, work.delta);
  }
  const bool narrow = io.grad_y.scalar_type() != scratch.hidden.scalar_type();
  const auto& grad_out = narrow ? scratch.hidden : io.grad_y;
  if (narrow) kernels::cast(view_of(io.grad_y), view_of(grad_out), context.launch);
  kernels::linear_backward_input(grad_out, params.out_proj, scratch.scanned, false);
  scan_backward(context, params, grads, work, scratch);
  kernels::linear_backward_weight(grad_out, scratch.projected.narrow(1, 0, d.D), grads.out_proj);
  inner_backward(context, params, grads, work, scratch);
  kernels::linear_backward_weight(scratch.projected, work.normed, grads.in_proj);
  kernels::linear_backward_input(scratch.projected, params.in_proj, scratch.hidden, false);
  kernels::rms_norm_backward({.x = view_of(io.x),
                              .weight = view_of(params.norm),
                              .rstd = view_of(work.rstd),
                              .grad_y = view_of(scratch.hidden),
                              .grad_residual = view_of(io.grad_y),
                              .grad_x = view_of(io.grad_x),
                              .grad_weight = view_of(grads.norm),
                              .workspace = view_of(scratch.workspace)},
                             {d.N, d.h, static_cast<float>(config_.rms_epsilon)}, context.launch);
}

}  // namespace zt::model
