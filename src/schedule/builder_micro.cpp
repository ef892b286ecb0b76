#include <algorithm>

#include "schedule/micro_state.h"

namespace zt::schedule {

std::vector<Builder::Use> Builder::uses(bool training) const {
  std::vector<Use> result;
  for (int l = 0; l < num_layers(); ++l) {
    if (training && layer_info(l).gives_loss) continue;  // its backward computes the loss too
    result.push_back({OpKind::forward, l, layer_info(l).units});
  }
  if (!training) return result;
  for (int l = num_layers() - 1; l >= 0; --l) {
    const auto& layer = layer_info(l);
    if (options_.recompute == Recompute::full && !layer.gives_loss && layer.stash_all.value > 0) {
      result.push_back({OpKind::recompute, l, layer.units});
    }
    result.push_back(
        {OpKind::backward, l, layer.backward_reads_params ? layer.units : std::vector<int>{}});
  }
  return result;
}

void Builder::build_micro(VariantKind kind) {
  MicroState state;
  state.kind = kind;
  state.training = kind != VariantKind::evaluation;
  state.out = &program_.variants.at(static_cast<std::size_t>(kind)).operations;
  state.uses = uses(state.training);
  state.activations.resize(model_.layers.size());
  state.grad_activations.resize(model_.layers.size());
  state.stashes.resize(model_.layers.size());
  for (int u = 0; u < num_units(); ++u) {
    const bool live =
        unit(u).always_gathered || (unit(u).retained && state.training && !state.first());
    if (live) state.gathered[u] = unit(u).param_full.buffer;
    if (state.training && state.first() && needs_publish(u) && !publishes_early(u)) {
      state.unpublished.insert(u);
    }
  }
  for (const auto& layer : model_.layers) {
    for (const int u : layer.units) ++state.grad_uses_left[u];
  }
  for (int l = num_layers() - 1; l >= 0; --l) {
    for (const int u : layer_info(l).units) state.last_use[u] = l;
  }
  for (std::size_t i = 0; i < state.uses.size(); ++i) {
    const auto& use = state.uses[i];
    state.position = i;
    for (const int u : use.units) gather(state, u);
    state.used.insert(use.units.begin(), use.units.end());
    gather_ahead(state, i);
    fetch_grads_ahead(state, i);
    bring_back(state, i);
    switch (use.kind) {
      case OpKind::forward:
        emit_forward(state, use);
        let_go(state);
        send_away(state, use.layer);
        break;
      case OpKind::recompute:
        emit_recompute(state, use.layer);
        let_go(state);
        break;
      default:
        emit_backward(state, use.layer);
        break;
    }
    release_after(state, i);
  }
  if (state.training && state.last() && !host_optimizer()) emit_norms(state);
  state.position = state.uses.size();
  let_go(state);
}

/// Of all units, beside the last reductions. With offloaded states each stands behind its unit's.
void Builder::emit_norms(MicroState& state) {
  for (int l = num_layers() - 1; l >= 0; --l) {
    for (const int u : layer_info(l).units) {
      if (state.last_use.at(u) != l) continue;
      emit_norm(*state.out, u, Stream::compute, unit(u).grad_shard.buffer);
    }
  }
}

void Builder::hold(MicroState& state, std::size_t position) const {
  auto& op = state.out->back();
  if (!options_.beside || op.ends.empty()) return;
  state.held.push_back({position, op.stream, op.unit, op.layer, std::move(op.ends)});
  op.ends.clear();
}

void Builder::hold_over_backward(MicroState& state) const {
  for (auto i = state.position + 1; i < state.uses.size(); ++i) {
    if (state.uses[i].kind == OpKind::backward) return hold(state, i);
  }
  hold(state, state.uses.size());
}

void Builder::let_go(MicroState& state) {
  for (auto& held : state.held) {
    if (held.until != state.position) continue;
    state.out->push_back({.kind = OpKind::release,
                          .stream = held.stream,
                          .unit = held.unit,
                          .layer = held.layer,
                          .ends = std::move(held.buffers)});
  }
  std::erase_if(state.held, [&](const auto& held) { return held.until == state.position; });
}

void Builder::add_param_reads(MicroState& state, const std::vector<int>& units,
                              Operation& op) const {
  for (const int u : units) op.reads.push_back(state.gathered.at(u));
}

BufferId Builder::start_bytes(Operation& op, BufferKind kind, Bytes bytes, bool ends) {
  const auto id = add_buffer(kind, op.layer, {bytes.value}, DType::u8, Lifetime::micro);
  op.writes.push_back(id);
  op.starts.push_back(id);
  if (ends) op.ends.push_back(id);
  return id;
}

void Builder::emit_forward(MicroState& state, const Use& use) {
  const int l = use.layer;
  const auto& layer = layer_info(l);
  const auto at = static_cast<std::size_t>(l);
  Operation op{.kind = OpKind::forward, .layer = l};
  add_param_reads(state, use.units, op);
  if (l > 0) op.reads.push_back(state.activations[at - 1]);
  const auto add = [&](BufferKind kind, Bytes bytes, bool ends) {
    return start_bytes(op, kind, bytes, ends);
  };
  const bool keeps = state.training && options_.recompute != Recompute::full;
  const bool selective = keeps && options_.recompute == Recompute::selective;
  ForwardSizes sizes{layer.output, selective ? layer.stash_selective : layer.stash_all,
                     layer.forward_scratch, layer.library};
  if (!state.training) sizes = layer.evaluation.value_or(sizes);
  if (sizes.output.value > 0)
    state.activations[at] = add(BufferKind::activation, sizes.output, false);
  if (sizes.stash.value > 0) state.stashes[at] = add(BufferKind::stash, sizes.stash, !keeps);
  if (sizes.scratch.value > 0) add(BufferKind::scratch, sizes.scratch, true);
  if (!state.training && l > 0) op.ends.push_back(state.activations[at - 1]);
  state.out->push_back(std::move(op));
}

void Builder::emit_recompute(MicroState& state, int l) {
  const auto& layer = layer_info(l);
  const auto at = static_cast<std::size_t>(l);
  Operation op{.kind = OpKind::recompute, .layer = l};
  add_param_reads(state, layer.units, op);
  if (l > 0) op.reads.push_back(state.activations[at - 1]);
  const auto add = [&](BufferKind kind, Bytes bytes, bool ends) {
    return start_bytes(op, kind, bytes, ends);
  };
  add(BufferKind::activation, layer.output, true);  // not needed again, but the forward writes it
  state.stashes[at] = add(BufferKind::stash, layer.stash_all, false);
  if (layer.forward_scratch.value > 0) add(BufferKind::scratch, layer.forward_scratch, true);
  state.out->push_back(std::move(op));
}

BufferId Builder::grad_buffer(MicroState& state, int u, Operation& op) {
  const auto found = state.grads.find(u);
  if (found != state.grads.end()) return found->second;
  BufferId id = unit(u).grad_full.buffer;
  const bool starts = reduce_each_micro_step() || state.first();
  if (reduce_each_micro_step()) {
    id = add_buffer(BufferKind::grad_full, u, unit_info(u).padded, compute_of(u), Lifetime::micro);
  }
  if (starts) op.starts.push_back(id);
  state.grads[u] = id;
  return id;
}

void Builder::emit_backward(MicroState& state, int l) {
  const auto& layer = layer_info(l);
  const auto at = static_cast<std::size_t>(l);
  Operation op{.kind = OpKind::backward, .layer = l};
  if (layer.backward_reads_params) add_param_reads(state, layer.units, op);
  for (const int u : layer.units) op.writes.push_back(grad_buffer(state, u, op));
  if (l > 0) {
    op.reads.push_back(state.activations[at - 1]);
    op.ends.push_back(state.activations[at - 1]);
    state.grad_activations[at - 1] =
        add_buffer(BufferKind::grad_activation, l - 1, {layer_info(l - 1).output.value}, DType::u8,
                   Lifetime::micro);
    op.writes.push_back(state.grad_activations[at - 1]);
    op.starts.push_back(state.grad_activations[at - 1]);
  }
  for (const auto id : {state.grad_activations[at], state.stashes[at]}) {
    if (!id.valid()) continue;
    op.reads.push_back(id);
    op.ends.push_back(id);
  }
  const auto scratch = options_.recompute == Recompute::selective ? layer.backward_scratch_selective
                                                                  : layer.backward_scratch_all;
  if (scratch.value > 0) start_bytes(op, BufferKind::scratch, scratch, true);
  state.out->push_back(std::move(op));
  let_go(state);
  for (const int u : layer.units) {
    if (--state.grad_uses_left[u] == 0) emit_reduce(state, u);
  }
}

/// Brings back the gradients that reductions soon add to.
void Builder::fetch_grads_ahead(MicroState& state, std::size_t position) {
  constexpr std::size_t kAhead = 3;  // operations: recompute and backward of the layer before
  if (!grads_wait_on_host() || state.first() || !state.training) return;
  const auto end = std::min(position + 1 + kAhead, state.uses.size());
  for (std::size_t i = position; i < end; ++i) {
    if (state.uses[i].kind != OpKind::backward) continue;
    for (const int u : layer_info(state.uses[i].layer).units) {
      if (state.parts.count(u) != 0 || state.last_use.at(u) != state.uses[i].layer) continue;
      const auto id = add_buffer(BufferKind::grad_part, u, unit_info(u).shard, options_.grad_accum,
                                 Lifetime::micro);
      state.out->push_back({.kind = OpKind::fetch_grad,
                            .stream = Stream::upload,
                            .unit = u,
                            .reads = {unit(u).host_grad.buffer},
                            .writes = {id},
                            .starts = {id}});
      state.parts[u] = id;
    }
  }
}

void Builder::emit_reduce(MicroState& state, int u) {
  if (!reduce_each_micro_step() && !state.last()) return;
  const auto full = state.grads.at(u);
  auto target = unit(u).grad_shard.buffer;
  if (!target.valid()) {
    auto& part = state.parts[u];
    if (!part.valid()) {
      part = add_buffer(BufferKind::grad_part, u, unit_info(u).shard, options_.grad_accum,
                        Lifetime::micro);
    }
    target = part;
  }
  if (options_.world > 1 || reduce_each_micro_step()) {
    emit_buckets(state, u, target);
    if (reduce_each_micro_step()) state.out->back().ends.push_back(full);
    hold_over_backward(state);
  }
  if (!host_optimizer()) return;
  // The reduced gradient is complete: its norm needs no second look at it on the host.
  if (state.last()) {
    emit_norm(*state.out, u, Stream::comm, target);
    hold_over_backward(state);
  }
  if (state.last() || grads_wait_on_host()) emit_download(state, u, target);
}

void Builder::emit_download(MicroState& state, int u, BufferId source) {
  if (!unit(u).host_grad.buffer.valid()) return;
  Operation op{.kind = OpKind::download,
               .stream = Stream::download,
               .unit = u,
               .reads = {source},
               .writes = {unit(u).host_grad.buffer}};
  const bool stays = unit(u).parts.front().where == Place::device;
  if (grads_wait_on_host() || !stays) op.ends.push_back(source);
  state.out->push_back(std::move(op));
  hold_over_backward(state);
}

/// One operation per bucket. They run one after another and share their wires, which live from the
/// first to the last.
void Builder::emit_buckets(MicroState& state, int u, BufferId target) {
  const auto full = state.grads.at(u);
  const auto& lengths = unit_info(u).bucket_lengths;
  const bool direct = lengths.size() == 1 && program_.buffer(full).dtype == wire_of(u);
  const auto longest = *std::max_element(lengths.begin(), lengths.end()) * options_.world;
  std::vector<BufferId> wires;  // to send, unless the gradient itself travels, and to receive
  if (options_.world > 1) {
    for (int i = 0; i < (direct ? 1 : 2); ++i) {
      wires.push_back(add_buffer(BufferKind::wire, u, longest, wire_of(u), Lifetime::micro));
    }
  }
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    Operation op{.kind = OpKind::reduce,
                 .stream = Stream::comm,
                 .unit = u,
                 .bucket = static_cast<int>(b),
                 .overwrite = state.first() || !reduce_each_micro_step(),
                 .numel = lengths[b] * options_.world,
                 .reads = {full},
                 .writes = {target}};
    op.writes.insert(op.writes.end(), wires.begin(), wires.end());
    if (b == 0) op.starts = wires;
    if (b == 0 && reduce_each_micro_step() && state.first()) op.starts.push_back(target);
    if (b + 1 == lengths.size()) op.ends = wires;
    state.out->push_back(std::move(op));
  }
}

}  // namespace zt::schedule
