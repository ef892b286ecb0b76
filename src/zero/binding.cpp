#include "zero/binding.h"

#include <algorithm>
#include <utility>

#include "kernels/adamw/adamw.h"
#include "kernels/cast/cast.h"
#include "kernels/grad_norm/grad_norm.h"
#include "kernels/ordered_sum/ordered_sum.h"
#include "zero/bind_layers.h"

namespace zt::zero {
namespace {

using memory::Queues;
using schedule::BufferKind;
using schedule::Operation;
using schedule::OpKind;
using schedule::Ref;

const schedule::UnitBuffers& unit_buffers(const Machine& machine, int unit) {
  return machine.program->units.at(static_cast<std::size_t>(unit));
}

const layout::UnitLayout& unit_layout(const Machine& machine, int unit) {
  return machine.layout->units.at(static_cast<std::size_t>(unit));
}

Queues::Work bind_copy(const Machine& machine, const View& from, const View& to) {
  ZT_ASSERT(from.numel == to.numel && machine.program != nullptr, "copied views differ in size");
  return [from, to](const Launch& launch) { memory::copy(from, to, launch); };
}

Queues::Work bind_gather(const Machine& machine, const View& part, const View& whole) {
  auto& communicator = *machine.communicator;
  return [&communicator, part, whole](const Launch& launch) {
    communicator.all_gather(part, whole, launch);
  };
}

/// One bucket: pack every rank's slice (cast once to the wire dtype), exchange, add in rank order.
Queues::Work bind_reduce(const Machine& machine, const Operation& op) {
  const auto& layout = unit_layout(machine, op.unit);
  const auto slice = layout.buckets({machine.options->zero.reduce_bucket_size})
                         .at(static_cast<std::size_t>(op.bucket));
  const auto full = machine.view(op.reads.front());
  const auto shard = layout.shard().value;
  const auto begin = slice.begin.value;
  const auto length = slice.length.value;
  const auto target_id = op.writes.front();
  const bool in_place = machine.program->buffer(target_id).kind == BufferKind::grad_full;
  const auto target = machine.view(Ref{target_id, layout.shard(), in_place}).slice(begin, length);
  const bool accumulate = !op.overwrite;
  const int world = machine.world();
  if (world == 1) {
    return [=, part = full.slice(begin, length)](const Launch& launch) {
      kernels::ordered_sum(part, 1, target, accumulate, launch);
    };
  }
  const bool direct = op.writes.size() == 2;  // the gradient itself is what travels
  const auto send = direct ? full : machine.view(op.writes.at(1)).slice(0, op.numel.value);
  const auto received = machine.view(op.writes.back()).slice(0, op.numel.value);
  const bool native = machine.options->zero.reduce == Reduce::native;
  auto& communicator = *machine.communicator;
  return [=, &communicator](const Launch& launch) {
    if (!direct) kernels::cast_strided(full, begin, shard, world, length, send, launch);
    if (native) {
      const auto sum = received.slice(0, length);
      communicator.reduce_scatter_sum(send, sum, launch);
      kernels::ordered_sum(sum, 1, target, accumulate, launch);
    } else {
      communicator.all_to_all(send, received, launch);
      kernels::ordered_sum(received, world, target, accumulate, launch);
    }
  };
}

/// The rank's reduced gradient of a unit on the device, which the operation reads.
View reduced_grad(const Machine& machine, const Operation& op) {
  const auto& kept = unit_buffers(machine, op.unit).grad_shard;
  return kept.buffer.valid() ? machine.view(kept) : machine.view(op.reads.front());
}

const schedule::StatePart& part_on(const Machine& machine, int unit, Place where) {
  const auto& parts = unit_buffers(machine, unit).parts;
  const auto found = std::find_if(parts.begin(), parts.end(), [&](const auto& part) {
    return (part.where == Place::device) == (where == Place::device);
  });
  ZT_ASSERT(found != parts.end(), "an operation of a part that the unit does not have");
  return *found;
}

/// All of the reduced gradient, or what the host's part of the states needs.
Queues::Work bind_download(const Machine& machine, const Operation& op) {
  const auto from = reduced_grad(machine, op);
  const auto to = machine.view(op.writes.front());
  const bool all = from.numel == to.numel;
  return bind_copy(machine, all ? from : from.slice(from.numel - to.numel, to.numel), to);
}

/// All of the gradient that waits on the host, or what the device's part of the states needs.
Queues::Work bind_fetch_grad(const Machine& machine, const Operation& op) {
  const auto from = machine.view(op.reads.front());
  const auto to = machine.view(op.writes.front());
  return bind_copy(machine, from.slice(0, to.numel), to);
}

/// Updated parameters from where they were updated to where they are kept.
Queues::Work bind_move(const Machine& machine, const Operation& op, Place from) {
  const auto& part = part_on(machine, op.unit, from);
  return bind_copy(machine, machine.view(part.param, part),
                   machine.view(unit_buffers(machine, op.unit).param_shard, part));
}

/// Buffers on disk and where they are in host memory, in the order of the operation's lists.
std::vector<Disk::Transfer> transfers(const Machine& machine,
                                      const std::vector<schedule::BufferId>& on_disk,
                                      const std::vector<schedule::BufferId>& on_host) {
  std::vector<Disk::Transfer> result;
  for (std::size_t i = 0; i < on_disk.size(); ++i) {
    result.push_back({on_disk[i], machine.view(on_host.at(i))});
  }
  return result;
}

Queues::Work bind_load(const Machine& machine, const Operation& op) {
  return [disk = machine.disk.get(), list = transfers(machine, op.reads, op.writes)](
             const Launch& /*launch*/) { disk->read(list); };
}

Queues::Work bind_save(const Machine& machine, const Operation& op) {
  return [disk = machine.disk.get(), list = transfers(machine, op.writes, op.reads)](
             const Launch& /*launch*/) { disk->write(list); };
}

Queues::Work bind_norm(const Machine& machine, const Operation& op) {
  const auto grad = reduced_grad(machine, op);
  const auto scalars = scalars_of(machine, machine.program->scalars);
  const auto out = double_view(scalars.partials(machine.rank()), scalars.units);
  const auto workspace = machine.view(op.writes.back());
  const auto index = op.unit;
  return
      [=](const Launch& launch) { kernels::sum_of_squares(grad, out, index, workspace, launch); };
}

/// Partial norms and losses of all ranks, then the clip factor, the same on every rank.
Queues::Work bind_clip(const Machine& machine) {
  const auto scalars = scalars_of(machine, machine.program->scalars);
  const int rank = machine.rank();
  const int world = machine.world();
  const auto mine = double_view(scalars.partials(rank), scalars.units);
  const auto all = double_view(scalars.base, static_cast<std::int64_t>(world) * scalars.units);
  const auto loss = double_view(scalars.losses() + rank, 1);
  const auto losses = double_view(scalars.losses(), world);
  const auto result = double_view(scalars.result(), 2);
  const View factor{scalars.grad_factor(), 1, DType::f32};
  const auto inverse_scale = double_view(scalars.inverse_scale(), 1);
  const double max_norm = machine.options->optimizer.max_grad_norm;
  auto& communicator = *machine.communicator;
  View host_result;
  View device_result;
  if (machine.program->host_scalars.valid()) {
    const auto host = scalars_of(machine, machine.program->host_scalars);
    host_result = double_view(host.result(), 3);
    device_result = double_view(scalars.result(), 3);
  }
  return [=, &communicator](const Launch& launch) {
    communicator.all_gather(mine, all, launch);
    communicator.all_gather(loss, losses, launch);
    kernels::clip_factor(all, max_norm, inverse_scale, result, factor, launch);
    if (host_result.numel > 0) memory::copy(device_result, host_result, launch);
  };
}

/// Ranges of a unit with one weight decay each; padding belongs to the range before it.
struct DecayRange {
  std::int64_t begin = 0, end = 0;
  bool decay = false;
};

std::vector<DecayRange> decay_ranges(const Machine& machine, int unit) {
  const auto& layout = unit_layout(machine, unit);
  const auto& optimizer = machine.options->optimizer;
  std::vector<DecayRange> ranges;
  for (std::size_t i = 0; i < layout.unit().params.size(); ++i) {
    const auto id = layout.unit().params[i];
    const bool decay = optimizer.weight_decay != 0 &&
                       (optimizer.decay_all ||
                        machine.layout->params.at(static_cast<std::size_t>(id.value)).decay);
    const auto begin = i == 0 ? 0 : layout.offset(i).value;
    if (ranges.empty() || ranges.back().decay != decay) {
      if (!ranges.empty()) ranges.back().end = begin;
      ranges.push_back({begin, 0, decay});
    }
  }
  ranges.back().end = layout.padded().value;
  return ranges;
}

Queues::Work bind_step(const Machine& machine, const Operation& op) {
  const bool on_host = op.stream == schedule::Stream::host;
  const auto& state = part_on(machine, op.unit, on_host ? Place::host : Place::device);
  const auto scalars =
      scalars_of(machine, on_host ? machine.program->host_scalars : machine.program->scalars);
  const View factor{scalars.grad_factor(), 1, DType::f32};
  const auto master = machine.view(state.master, state);
  const auto exp_avg = machine.view(state.exp_avg, state);
  const auto exp_avg_sq = machine.view(state.exp_avg_sq, state);
  const auto grad = machine.view(state.grad, state);
  const auto param = machine.view(state.param, state);
  const auto first = machine.first_updated(op.unit) + state.begin.value;
  struct Part {
    kernels::AdamWSpans spans;
    bool decay;
  };
  std::vector<Part> parts;
  for (const auto& range : decay_ranges(machine, op.unit)) {
    const auto begin = std::max(range.begin - first, std::int64_t{0});
    const auto end = std::min(range.end - first, master.numel);
    if (begin >= end) continue;
    const auto cut = [&](const View& view) { return view.slice(begin, end - begin); };
    parts.push_back(
        {{cut(master), cut(exp_avg), cut(exp_avg_sq), cut(grad), cut(param)}, range.decay});
  }
  const bool l2 = machine.options->optimizer.l2_adam;
  const Launch host{Device::cpu, nullptr, machine.pool.get()};
  return [parts, scalars, factor, on_host, host, l2](const Launch& launch) {
    for (const auto& part : parts) {
      kernels::adamw(part.spans, scalars.adamw(part.decay), l2, factor, on_host ? host : launch);
    }
  };
}

Queues::Work bind_one(const Machine& machine, schedule::VariantKind variant, const Operation& op,
                      StepState& state) {
  switch (op.kind) {
    case OpKind::forward:
    case OpKind::recompute:
    case OpKind::backward:
      return bind_layer(machine, variant, op, state);
    case OpKind::release:
      return [](const Launch& /*launch*/) {};
    case OpKind::load_states:
    case OpKind::load_param:
      return bind_load(machine, op);
    case OpKind::save_states:
    case OpKind::save_param:
      return bind_save(machine, op);
    case OpKind::fetch_grad:
      return bind_fetch_grad(machine, op);
    case OpKind::download:
      return bind_download(machine, op);
    case OpKind::store:
      return bind_move(machine, op, Place::device);
    case OpKind::upload:
      return bind_move(machine, op, Place::host);
    case OpKind::stash_out:
    case OpKind::stash_in:
    case OpKind::fetch:
      return bind_copy(machine, machine.view(op.reads.front()), machine.view(op.writes.front()));
    case OpKind::gather:
      return bind_gather(machine, machine.view(op.reads.front()), machine.view(op.writes.front()));
    case OpKind::reduce:
      return bind_reduce(machine, op);
    case OpKind::norm:
      return bind_norm(machine, op);
    case OpKind::clip:
      return bind_clip(machine);
    case OpKind::step:
      return bind_step(machine, op);
    case OpKind::gather_grad: {
      const auto& buffers = unit_buffers(machine, op.unit);
      return bind_gather(machine, machine.view(buffers.grad_shard),
                         machine.view(buffers.parts.front().grad));
    }
    case OpKind::publish: {
      const auto& buffers = unit_buffers(machine, op.unit);
      return bind_gather(machine, machine.view(buffers.param_shard),
                         machine.view(buffers.param_full));
    }
  }
  throw_assertion(__FILE__, __LINE__, "known kind", "unknown operation");
}

}  // namespace

std::vector<Queues::Work> bind(const Machine& machine, const schedule::Variant& variant,
                               StepState& state) {
  std::vector<Queues::Work> result;
  result.reserve(variant.operations.size());
  for (const auto& op : variant.operations) {
    result.push_back(bind_one(machine, variant.kind, op, state));
  }
  return result;
}

}  // namespace zt::zero
