#include "schedule/builder.h"
#include "schedule/place.h"

namespace zt::schedule {

Builder::Builder(const ModelInfo& model, const BuildOptions& options)
    : model_(model), options_(options) {
  ZT_ASSERT(options.world >= 1 && options.micro_steps >= 1, "world and micro_steps are positive");
  ZT_ASSERT(!model.units.empty() && !model.layers.empty() && model.layers.back().gives_loss,
            "a model ends with its loss layer");
}

Program Builder::run() && {
  program_.variants.resize(kNumVariants);
  for (int v = 0; v < kNumVariants; ++v) {
    program_.variants[static_cast<std::size_t>(v)].kind = static_cast<VariantKind>(v);
  }
  const Numel scalars{static_cast<std::int64_t>(options_.world) * (num_units() + 2) + 17};
  // fp64 has no DType of its own: twice as many fp32 elements.
  program_.scalars = add_buffer(BufferKind::scalars, 0, scalars * 2, DType::f32, Lifetime::run);
  if (host_optimizer()) {
    program_.host_scalars =
        add_buffer(BufferKind::scalars, 1, scalars * 2, DType::f32, Lifetime::run, Place::host);
  }
  program_.units.resize(model_.units.size());
  Numel retained;
  for (int u = 0; u < num_units(); ++u) {
    retained += unit_info(u).padded;
    unit(u).retained = options_.retain && options_.micro_steps > 1 && retained <= options_.max_live;
    add_unit_buffers(u);
  }
  if (options_.micro_steps == 1) {
    build_micro(VariantKind::only);
  } else {
    build_micro(VariantKind::first);
    if (options_.micro_steps > 2) build_micro(VariantKind::middle);
    build_micro(VariantKind::last);
  }
  build_boundary();
  build_micro(VariantKind::evaluation);
  build_settle();
  place(program_);
  derive_waits(program_);
  return std::move(program_);
}

Program build(const ModelInfo& model, const BuildOptions& options) {
  return Builder(model, options).run();
}

const UnitInfo& Builder::unit_info(int unit) const {
  return model_.units.at(static_cast<std::size_t>(unit));
}

const LayerInfo& Builder::layer_info(int layer) const {
  return model_.layers.at(static_cast<std::size_t>(layer));
}

BufferId Builder::add_buffer(BufferKind kind, int index, Numel numel, DType dtype,
                             Lifetime lifetime, Place where) {
  Buffer buffer;
  buffer.kind = kind;
  buffer.index = index;
  buffer.numel = numel;
  buffer.dtype = dtype;
  buffer.lifetime = lifetime;
  buffer.where = where;
  program_.buffers.push_back(buffer);
  return {static_cast<int>(program_.buffers.size()) - 1};
}

void Builder::add_unit_buffers(int u) {
  const auto& info = unit_info(u);
  const auto& residency = options_.residency;
  auto& buffers = unit(u);
  buffers.always_gathered = !residency.params_sharded ||
                            info.padded <= options_.persistence_threshold ||
                            (options_.world == 1 && residency.param_place == Place::device);
  if (buffers.always_gathered) {
    const auto id =
        add_buffer(BufferKind::param_full, u, info.padded, compute_of(u), Lifetime::run);
    buffers.param_full = {id, info.padded, false};
    buffers.param_shard = {id, info.shard, true};
  } else {
    const auto id = add_buffer(BufferKind::param_shard, u, info.shard, compute_of(u), Lifetime::run,
                               param_place(u));
    buffers.param_shard = {id, info.shard, false};
    if (buffers.retained) {
      buffers.param_full = {
          add_buffer(BufferKind::param_full, u, info.padded, compute_of(u), Lifetime::step),
          info.padded, false};
    }
  }
  add_grad_buffers(u, buffers);
  add_state_buffers(u, buffers);
}

/// With parameters on disk, those of the first units stay in host memory as far as it may hold
/// them.
Place Builder::param_place(int u) const {
  const auto& residency = options_.residency;
  if (residency.param_place != Place::nvme) return residency.param_place;
  Numel before;
  for (int other = 0; other <= u; ++other) before += unit_info(other).shard;
  return before <= residency.param_in_host ? Place::host : Place::nvme;
}

Numel Builder::device_states(int u) const {
  const auto& info = unit_info(u);
  const auto numel = options_.residency.states_sharded ? info.shard : info.padded;
  if (!host_optimizer()) return numel;
  constexpr std::int64_t kGrain = 64;  // elements; parts begin at whole vectors
  const double share = 1 - options_.residency.host_ratio;
  return {static_cast<std::int64_t>(static_cast<double>(numel.value / kGrain) * share) * kGrain};
}

void Builder::add_grad_buffers(int u, UnitBuffers& buffers) {
  const auto& info = unit_info(u);
  if (!reduce_each_micro_step()) {
    const auto id =
        add_buffer(BufferKind::grad_full, u, info.padded, options_.grad_accum, Lifetime::step);
    buffers.grad_full = {id, info.padded, false};
    buffers.grad_shard = {id, info.shard, true};  // the reduction writes onto the rank's own slice
  } else if (!grads_wait_on_host()) {
    const auto id =
        add_buffer(BufferKind::grad_shard, u, info.shard, options_.grad_accum, Lifetime::step);
    buffers.grad_shard = {id, info.shard, false};
  }
  const auto kept = device_states(u);
  if (host_optimizer() && (grads_wait_on_host() || kept < info.shard)) {
    const auto numel = grads_wait_on_host() ? info.shard : info.shard - kept;
    buffers.host_grad = {add_buffer(BufferKind::grad_shard, u, numel, options_.grad_accum,
                                    Lifetime::run, Place::host),
                         numel, false};
  }
}

void Builder::add_state_buffers(int u, UnitBuffers& buffers) {
  const auto& info = unit_info(u);
  const auto numel = options_.residency.states_sharded ? info.shard : info.padded;
  const auto kept = device_states(u);
  if (kept.value > 0) add_part(u, buffers, Place::device, {0}, kept);
  if (kept < numel) add_part(u, buffers, options_.residency.state_place, kept, numel - kept);
}

void Builder::add_part(int u, UnitBuffers& buffers, Place where, Numel begin, Numel numel) {
  const bool on_disk = where == Place::nvme;
  const auto works = on_disk ? Place::host : where;  // where the optimizer finds things
  const auto add = [&](BufferKind kind, DType dtype, Lifetime lifetime, Place place) {
    return Ref{add_buffer(kind, u, numel, dtype, lifetime, place), numel, false};
  };
  const auto state = [&](BufferKind kind, Ref& disk) {
    if (on_disk) disk = add(kind, DType::f32, Lifetime::run, Place::nvme);
    return add(kind, DType::f32, on_disk ? Lifetime::micro : Lifetime::run, works);
  };
  const Ref stored = options_.residency.states_sharded ? buffers.param_shard : buffers.param_full;
  const auto compute = compute_of(u);
  const bool beside = program_.buffer(stored.buffer).where == works;
  StatePart part{.where = where, .begin = begin, .numel = numel};
  // In fp32 the parameter is its own master; the master travels where they lie apart.
  part.master = compute == DType::f32 && beside && !on_disk
                    ? stored
                    : state(BufferKind::master_shard, part.disk_master);
  part.exp_avg = state(BufferKind::exp_avg, part.disk_exp_avg);
  part.exp_avg_sq = state(BufferKind::exp_avg_sq, part.disk_exp_avg_sq);
  part.grad = where == Place::device ? buffers.grad_shard : buffers.host_grad;
  if (beside) {
    part.param = stored;
  } else if (compute == DType::f32) {
    part.param = part.master;
  } else {  // kept: a step that is left out writes none
    part.param = add(BufferKind::param_out, compute, Lifetime::run, works);
  }
  buffers.parts.push_back(part);
}

}  // namespace zt::schedule
