#include "schedule/builder.h"

namespace zt::schedule {

void Builder::build_boundary() {
  auto& out = program_.variants.at(static_cast<std::size_t>(VariantKind::boundary)).operations;
  for (int u = 0; u < num_units(); ++u) {
    if (unit(u).retained && !unit(u).always_gathered) {
      out.push_back({.kind = OpKind::release, .unit = u, .ends = {unit(u).param_full.buffer}});
    }
  }
  emit_norms(out);
  for (int u = 0; u < num_units(); ++u) emit_step(out, u);
}

void Builder::emit_norms(std::vector<Operation>& out) {
  const auto stream = host_optimizer() ? Stream::host : Stream::compute;
  const auto scalars = host_optimizer() ? program_.host_scalars : program_.scalars;
  for (int u = 0; u < num_units(); ++u) {
    Operation op{.kind = OpKind::norm,
                 .stream = stream,
                 .unit = u,
                 .reads = {unit(u).grad_shard.buffer},
                 .writes = {scalars}};
    if (!host_optimizer()) {  // chunk sums of the device kernel
      const auto id = add_buffer(BufferKind::scratch, u, {(unit_info(u).shard.value + 1023) / 1024},
                                 DType::f32, Lifetime::micro);
      op.writes.push_back(id);
      op.starts.push_back(id);
      op.ends.push_back(id);
    }
    out.push_back(std::move(op));
  }
  Operation clip{.kind = OpKind::clip,
                 .stream = Stream::comm,
                 .reads = {scalars},
                 .writes = {program_.scalars}};
  if (host_optimizer()) clip.writes.push_back(scalars);
  out.push_back(std::move(clip));
}

void Builder::emit_step(std::vector<Operation>& out, int u) {
  auto& buffers = unit(u);
  const auto& info = unit_info(u);
  Operation step{
      .kind = OpKind::step, .stream = host_optimizer() ? Stream::host : Stream::compute, .unit = u};
  const auto grad_shard = buffers.grad_shard.buffer;
  BufferId grad = grad_shard;
  if (!options_.residency.states_sharded) {
    const bool in_place = buffers.grad_full.buffer.valid();
    if (!in_place) {
      grad = add_buffer(BufferKind::grad_reduced, u, info.padded, options_.grad_accum,
                        Lifetime::micro);
    }
    buffers.update_grad = {grad, info.padded, false};
    if (options_.world > 1 || !in_place) {
      Operation gather{.kind = OpKind::gather_grad,
                       .stream = Stream::comm,
                       .unit = u,
                       .reads = {grad_shard},
                       .writes = {grad}};
      if (!in_place) gather.starts.push_back(grad);
      out.push_back(std::move(gather));
    }
    if (!in_place) step.ends.push_back(grad);
  }
  step.reads = {grad, host_optimizer() ? program_.host_scalars : program_.scalars};
  step.writes = {buffers.exp_avg.buffer, buffers.exp_avg_sq.buffer, buffers.master.buffer};
  if (buffers.update_param.buffer != buffers.master.buffer) {
    step.writes.push_back(buffers.update_param.buffer);
  }
  if (program_.buffer(grad_shard).lifetime == Lifetime::step) step.ends.push_back(grad_shard);
  out.push_back(std::move(step));

  const auto target = options_.residency.states_sharded ? buffers.param_shard : buffers.param_full;
  if (buffers.update_param.buffer != target.buffer) {
    out.push_back({.kind = OpKind::upload,
                   .stream = Stream::host,
                   .unit = u,
                   .reads = {buffers.update_param.buffer},
                   .writes = {target.buffer}});
  }
  if (buffers.always_gathered && options_.residency.states_sharded && options_.world > 1) {
    out.push_back({.kind = OpKind::publish,
                   .stream = Stream::comm,
                   .unit = u,
                   .reads = {target.buffer},
                   .writes = {target.buffer}});
  }
}

}  // namespace zt::schedule
