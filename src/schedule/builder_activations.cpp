#include <algorithm>

#include "schedule/micro_state.h"

namespace zt::schedule {

/// After a layer's forward: its input and its stash, which only its backward needs, go to the host.
void Builder::send_away(MicroState& state, int layer) {
  constexpr int kSoon = 2;  // layers at the end, whose backward comes next
  if (!options_.activations_on_host || !state.training || layer + kSoon >= num_layers()) return;
  const auto at = static_cast<std::size_t>(layer);
  const auto send = [&](BufferId& id) {
    if (!id.valid()) return;
    const auto device = program_.buffer(id);
    const auto host = add_buffer(device.kind, device.index, device.numel, device.dtype,
                                 Lifetime::micro, Place::host);
    state.out->push_back({.kind = OpKind::stash_out,
                          .stream = Stream::download,
                          .layer = layer,
                          .reads = {id},
                          .writes = {host},
                          .starts = {host},
                          .ends = {id}});
    hold(state, state.position + 1);  // the next forward does not wait for the copy
    id = host;
  };
  if (layer > 0) send(state.activations[at - 1]);
  if (options_.recompute != Recompute::full) send(state.stashes[at]);
}

/// Ahead of a layer's recomputation and backward: what it needs comes back.
void Builder::bring_back(MicroState& state, std::size_t position) {
  constexpr std::size_t kAhead = 3;  // operations: recompute and backward of the layer before
  if (!options_.activations_on_host) return;
  const auto end = std::min(position + 1 + kAhead, state.uses.size());
  for (std::size_t i = position; i < end; ++i) {
    const auto& use = state.uses[i];
    if (use.kind == OpKind::forward) continue;
    const auto at = static_cast<std::size_t>(use.layer);
    const auto fetch = [&](BufferId& id) {
      if (!id.valid() || program_.buffer(id).where != Place::host) return;
      const auto host = program_.buffer(id);
      const auto device =
          add_buffer(host.kind, host.index, host.numel, host.dtype, Lifetime::micro);
      state.out->push_back({.kind = OpKind::stash_in,
                            .stream = Stream::upload,
                            .layer = use.layer,
                            .reads = {id},
                            .writes = {device},
                            .starts = {device},
                            .ends = {id}});
      id = device;
    };
    if (use.layer > 0) fetch(state.activations[at - 1]);
    fetch(state.stashes[at]);
  }
}

}  // namespace zt::schedule
