#include "zero/residency.h"

#include <fmt/format.h>

#include <algorithm>

namespace zt::zero {
namespace {

using layer::Keep;

/// Of a forward whose batch has another size than those of training.
schedule::ForwardSizes evaluation_sizes(const layer::Layer& layer, const layer::BatchShape& shape,
                                        DType compute, Device device, bool deterministic) {
  return {.output = layer.gives_loss() ? Bytes{} : layer.output(shape, compute).bytes(),
          .stash = packed_bytes(layer.stash(shape, compute, Keep::all)),
          .scratch = packed_bytes(layer.forward_scratch(shape, compute, Keep::all)),
          .library = layer.library(shape, compute, device, deterministic)};
}

}  // namespace

schedule::Residency residency(const config::ZeroConfig& zero) {
  struct Row {
    bool params, grads, states;
    ReduceAt reduce_at;
  };
  // DESIGN section 1: what each stage shards, and when gradients are reduced by default.
  constexpr Row kRows[] = {{false, false, false, ReduceAt::boundary},
                           {false, false, true, ReduceAt::boundary},
                           {false, true, true, ReduceAt::micro_step},
                           {true, true, true, ReduceAt::micro_step}};
  if (zero.stage < 0 || zero.stage > 3) {
    throw ConfigError(fmt::format(
        "[zero.residency] zero_optimization.stage: got {}, expected 0 to 3.", zero.stage));
  }
  const auto& row = kRows[zero.stage];
  const auto needs_path = [](Place place, const std::string& path, const char* section) {
    if (place != Place::nvme || !path.empty()) return;
    throw ConfigError(fmt::format(
        "[zero.residency] {}.device nvme: got no nvme_path, expected the folder to use.", section));
  };
  needs_path(zero.optimizer_place, zero.optimizer_nvme_path, "offload_optimizer");
  needs_path(zero.param_place, zero.param_nvme_path, "offload_param");
  if (zero.param_place == Place::nvme &&
      (zero.optimizer_place == Place::device || zero.offload_ratio < 1)) {
    throw ConfigError(
        "[zero.residency] offload_param.device nvme needs offload_optimizer with ratio 1: the host "
        "writes updated parameters to disk.");
  }
  if (zero.optimizer_place != Place::device && !row.states) {
    throw ConfigError(
        "[zero.residency] offload_optimizer needs sharded optimizer states: got stage 0, "
        "expected 1, 2 or 3.");
  }
  if (zero.param_place != Place::device && !row.params) {
    throw ConfigError(fmt::format(
        "[zero.residency] offload_param needs sharded parameters: got stage {}, expected 3.",
        zero.stage));
  }
  const bool states_leave = zero.optimizer_place != Place::device && zero.offload_ratio > 0;
  const auto state_place = states_leave ? zero.optimizer_place : Place::device;
  return {.params_sharded = row.params,
          .grads_sharded = row.grads,
          .states_sharded = row.states,
          .param_place = zero.param_place,
          .state_place = state_place,
          .reduce_at = zero.reduce_at.value_or(row.reduce_at),
          .host_ratio = zero.offload_ratio,
          .param_in_host = {zero.param_in_host},
          .staged_units = zero.optimizer_buffers,
          .grad_place = zero.grad_place.value_or(states_leave ? Place::host : Place::device)};
}

schedule::BuildOptions build_options(const EngineOptions& options, int world) {
  const auto& zero = options.zero;
  schedule::BuildOptions result;
  result.world = world;
  result.residency = residency(zero);
  result.compute = options.precision.compute;
  result.grad_accum = options.precision.grad_accum;
  result.wire = options.precision.communication.value_or(options.precision.compute);
  result.reduce = zero.reduce;
  result.recompute = zero.recompute.value_or(Recompute::none);
  result.micro_steps = options.micro_steps;
  result.prefetch = {zero.overlap_comm ? zero.prefetch_bucket_size : 0};
  result.persistence_threshold = {zero.param_persistence_threshold};
  result.max_live = {zero.max_live_parameters};
  result.retain = zero.retain_auto;
  result.beside = zero.reduce_beside.value_or(true) && zero.overlap_comm;
  result.activations_on_host = zero.activations_on_host;
  return result;
}

Bytes packed_bytes(const std::vector<layer::TensorSpec>& specs) {
  constexpr std::int64_t kTensorAlignment = 256;
  std::int64_t end = 0;
  for (const auto& spec : specs) end = round_up(end, kTensorAlignment) + spec.bytes().value;
  return {end};
}

schedule::ModelInfo describe(const ModelParts& model, const layout::ModelLayout& layout,
                             const EngineOptions& options, Device device) {
  schedule::ModelInfo info;
  for (const auto& unit : layout.units) {
    schedule::UnitInfo entry{unit.unit().name, unit.padded(), unit.shard(), {}, unit.keep_fp32()};
    for (const auto& bucket : unit.buckets({options.zero.reduce_bucket_size})) {
      entry.bucket_lengths.push_back(bucket.length);
    }
    info.units.push_back(std::move(entry));
  }
  const auto& shape = options.shape;
  const auto evaluated = options.eval_shape();
  const auto compute = options.precision.compute;
  const bool deterministic = options.zero.deterministic;
  for (const auto& layer : model.layers) {
    schedule::LayerInfo entry;
    entry.name = layer->name();
    for (const auto id : layer->params()) {
      const int unit = layout.unit_of.at(static_cast<std::size_t>(id.value)).value;
      if (std::find(entry.units.begin(), entry.units.end(), unit) == entry.units.end()) {
        entry.units.push_back(unit);
      }
    }
    entry.gives_loss = layer->gives_loss();
    if (!entry.gives_loss) entry.output = layer->output(shape, compute).bytes();
    entry.stash_all = packed_bytes(layer->stash(shape, compute, Keep::all));
    entry.stash_selective = packed_bytes(layer->stash(shape, compute, Keep::selective));
    entry.forward_scratch =
        std::max(packed_bytes(layer->forward_scratch(shape, compute, Keep::all)),
                 packed_bytes(layer->forward_scratch(shape, compute, Keep::selective)));
    entry.backward_scratch_all = packed_bytes(layer->backward_scratch(shape, compute, Keep::all));
    entry.backward_scratch_selective =
        packed_bytes(layer->backward_scratch(shape, compute, Keep::selective));
    entry.library = layer->library(shape, compute, device, deterministic);
    entry.backward_reads_params = layer->backward_reads_params();
    entry.forward_flops = layer->forward_flops(shape);
    if (evaluated.batch != shape.batch) {
      entry.evaluation = evaluation_sizes(*layer, evaluated, compute, device, deterministic);
    }
    info.layers.push_back(std::move(entry));
  }
  return info;
}

}  // namespace zt::zero
