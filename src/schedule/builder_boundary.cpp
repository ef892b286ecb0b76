#include <algorithm>

#include "schedule/builder.h"

namespace zt::schedule {

void Builder::build_boundary() {
  auto& out = program_.variants.at(static_cast<std::size_t>(VariantKind::boundary)).operations;
  for (int u = 0; u < num_units(); ++u) {
    if (unit(u).retained && !unit(u).always_gathered) {
      out.push_back({.kind = OpKind::release, .unit = u, .ends = {unit(u).param_full.buffer}});
    }
  }
  emit_clip(out);
  const auto order = units_by_first_use();
  const auto ahead = static_cast<std::size_t>(std::max(2, options_.residency.staged_units)) - 1;
  std::size_t loaded = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (; loaded < std::min(order.size(), i + ahead); ++loaded) {
      emit_states(out, order[loaded], OpKind::load_states);
    }
    emit_step(out, order[i]);
    emit_states(out, order[i], OpKind::save_states);
    if (publishes_early(order[i])) emit_publish(out, order[i]);
  }
}

/// Optimizer states of a unit from disk to where the host works on them, or back.
void Builder::emit_states(std::vector<Operation>& out, int u, OpKind kind) {
  const auto& part = unit(u).parts.back();
  if (part.where != Place::nvme) return;
  const std::vector<BufferId> disk{part.disk_master.buffer, part.disk_exp_avg.buffer,
                                   part.disk_exp_avg_sq.buffer};
  const std::vector<BufferId> host{part.master.buffer, part.exp_avg.buffer, part.exp_avg_sq.buffer};
  Operation op{.kind = kind, .unit = u};
  if (kind == OpKind::load_states) {
    op.stream = Stream::disk_read;
    op.reads = disk;
    op.writes = op.starts = host;
  } else {
    op.stream = Stream::disk_write;
    op.reads = op.ends = host;
    op.writes = disk;
  }
  out.push_back(std::move(op));
}

/// The order in which the next step's first forward needs the units.
std::vector<int> Builder::units_by_first_use() const {
  std::vector<int> order;
  const auto add = [&order](int u) {
    if (std::find(order.begin(), order.end(), u) == order.end()) order.push_back(u);
  };
  for (const auto& layer : model_.layers) {
    for (const int u : layer.units) add(u);
  }
  for (int u = 0; u < num_units(); ++u) add(u);
  return order;
}

void Builder::emit_norm(std::vector<Operation>& out, int u, Stream stream, BufferId grad) {
  // Chunk sums of the device kernel.
  const auto sums = add_buffer(BufferKind::scratch, u, {(unit_info(u).shard.value + 1023) / 1024},
                               DType::f32, Lifetime::micro);
  out.push_back({.kind = OpKind::norm,
                 .stream = stream,
                 .unit = u,
                 .reads = {grad},
                 .writes = {program_.scalars, sums},
                 .starts = {sums},
                 .ends = {sums}});
}

void Builder::emit_clip(std::vector<Operation>& out) {
  Operation clip{.kind = OpKind::clip,
                 .stream = Stream::comm,
                 .reads = {program_.scalars},
                 .writes = {program_.scalars}};
  if (host_optimizer()) clip.writes.push_back(program_.host_scalars);
  out.push_back(std::move(clip));
}

/// The whole reduced gradient where every rank updates the whole unit.
BufferId Builder::emit_gather_grad(std::vector<Operation>& out, int u) {
  const auto& buffers = unit(u);
  const auto& info = unit_info(u);
  const auto grad_shard = buffers.grad_shard.buffer;
  if (buffers.grad_full.buffer.valid()) {
    if (options_.world > 1) {
      out.push_back({.kind = OpKind::gather_grad,
                     .stream = Stream::comm,
                     .unit = u,
                     .reads = {grad_shard},
                     .writes = {grad_shard}});
    }
    return grad_shard;
  }
  const auto grad =
      add_buffer(BufferKind::grad_reduced, u, info.padded, options_.grad_accum, Lifetime::micro);
  out.push_back({.kind = OpKind::gather_grad,
                 .stream = Stream::comm,
                 .unit = u,
                 .reads = {grad_shard},
                 .writes = {grad},
                 .starts = {grad}});
  return grad;
}

void Builder::emit_step(std::vector<Operation>& out, int u) {
  auto& buffers = unit(u);
  if (!options_.residency.states_sharded) {
    buffers.parts.front().grad = {emit_gather_grad(out, u), unit_info(u).padded, false};
  }
  for (auto& part : buffers.parts) emit_part(out, u, part);
}

void Builder::emit_part(std::vector<Operation>& out, int u, StatePart& part) {
  auto& buffers = unit(u);
  const bool on_host = part.where != Place::device;
  Operation step{.kind = OpKind::step,
                 .stream = on_host ? Stream::host : Stream::compute,
                 .unit = u,
                 .reads = {part.grad.buffer, on_host ? program_.host_scalars : program_.scalars},
                 .writes = {part.exp_avg.buffer, part.exp_avg_sq.buffer, part.master.buffer}};
  if (!part.grad.buffer.valid()) {  // the device's part of a gradient that waited on the host
    const auto grad =
        add_buffer(BufferKind::grad_part, u, part.numel, options_.grad_accum, Lifetime::micro);
    part.grad = {grad, part.numel, false};
    out.push_back({.kind = OpKind::fetch_grad,
                   .stream = Stream::upload,
                   .unit = u,
                   .reads = {buffers.host_grad.buffer},
                   .writes = {grad},
                   .starts = {grad}});
    step.reads.front() = grad;
  }
  if (!on_host) {
    step.ends.push_back(part.grad.buffer);
    const auto shard = buffers.grad_shard.buffer;
    if (shard.valid() && shard != part.grad.buffer) step.ends.push_back(shard);
  }
  if (part.param.buffer != part.master.buffer) step.writes.push_back(part.param.buffer);
  out.push_back(std::move(step));
  emit_move(out, u, part);
}

/// Updated parameters from where they were updated to where they are kept.
void Builder::emit_move(std::vector<Operation>& out, int u, const StatePart& part) {
  const auto target =
      options_.residency.states_sharded ? unit(u).param_shard.buffer : unit(u).param_full.buffer;
  if (part.param.buffer == target) return;
  Operation move{.kind = OpKind::upload,
                 .stream = Stream::upload,
                 .unit = u,
                 .reads = {part.param.buffer},
                 .writes = {target}};
  if (part.where == Place::device) {
    move.kind = OpKind::store;
    move.stream = Stream::download;
  } else if (program_.buffer(target).where == Place::nvme) {
    move.kind = OpKind::save_param;
    move.stream = Stream::disk_write;
  }
  out.push_back(std::move(move));
}

bool Builder::needs_publish(int u) const {
  return program_.units[static_cast<std::size_t>(u)].always_gathered &&
         options_.residency.states_sharded && options_.world > 1;
}

bool Builder::publishes_early(int u) const {
  if (!needs_publish(u) || host_optimizer()) return false;
  const auto uses = [u](const LayerInfo& layer) {
    return std::find(layer.units.begin(), layer.units.end(), u) != layer.units.end();
  };
  const auto end = model_.layers.begin() + std::min<std::ptrdiff_t>(2, num_layers());
  return std::any_of(model_.layers.begin(), end, uses);
}

void Builder::emit_publish(std::vector<Operation>& out, int u) {
  const auto full = unit(u).param_full.buffer;
  out.push_back({.kind = OpKind::publish,
                 .stream = Stream::comm,
                 .unit = u,
                 .reads = {full},
                 .writes = {full}});
}

void Builder::build_settle() {
  auto& out = program_.variants.at(static_cast<std::size_t>(VariantKind::settle)).operations;
  for (int u = 0; u < num_units(); ++u) {
    if (needs_publish(u)) emit_publish(out, u);
  }
}

}  // namespace zt::schedule
