#include <algorithm>

#include "schedule/micro_state.h"

namespace zt::schedule {

void Builder::gather(MicroState& state, int u) {
  if (state.unpublished.erase(u) != 0) emit_publish(*state.out, u);
  if (state.gathered.count(u) != 0) return;
  const auto& info = unit_info(u);
  const bool keep = unit(u).retained && state.training;
  const auto full =
      keep ? unit(u).param_full.buffer
           : add_buffer(BufferKind::param_full, u, info.padded, compute_of(u), Lifetime::micro);
  state.gathered[u] = full;
  state.gathered_numel += info.padded;
  Operation op{.kind = OpKind::gather, .stream = Stream::comm, .unit = u};
  op.reads = {unit(u).param_shard.buffer};
  if (program_.buffer(op.reads.front()).where != Place::device) {
    if (options_.world == 1) return emit_fetch(state, u, full);
    fetch(state, u);
    op.reads = op.ends = {state.fetched.at(u)};
    state.fetched.erase(u);
  }
  op.writes = op.starts = {full};
  state.out->push_back(std::move(op));
  hold(state, state.position);  // a layer that runs beside this gather would take the stage's place
}

BufferId Builder::param_stage(int u, Place place) {
  return add_buffer(BufferKind::param_stage, u, unit_info(u).shard, compute_of(u), Lifetime::micro,
                    place);
}

/// Parameters on disk, into host memory.
void Builder::load(MicroState& state, int u) {
  const auto shard = unit(u).param_shard.buffer;
  if (program_.buffer(shard).where != Place::nvme || state.loaded.count(u) != 0) return;
  const auto id = param_stage(u, Place::host);
  state.out->push_back({.kind = OpKind::load_param,
                        .stream = Stream::disk_read,
                        .unit = u,
                        .reads = {shard},
                        .writes = {id},
                        .starts = {id}});
  state.loaded[u] = id;
}

/// Parameters of the host or a disk, to the device, where a gather will read them.
void Builder::fetch(MicroState& state, int u) {
  if (state.fetched.count(u) != 0) return;
  const auto id = param_stage(u, Place::device);
  emit_fetch(state, u, id);
  state.fetched[u] = id;
}

void Builder::emit_fetch(MicroState& state, int u, BufferId target) {
  load(state, u);
  Operation op{.kind = OpKind::fetch, .stream = Stream::upload, .unit = u};
  op.reads = {unit(u).param_shard.buffer};
  if (const auto loaded = state.loaded.find(u); loaded != state.loaded.end()) {
    op.reads = op.ends = {loaded->second};
    state.loaded.erase(loaded);
  }
  op.writes = op.starts = {target};
  state.out->push_back(std::move(op));
}

/// What is on its way while the operation at `position` computes: at most `prefetch` elements wait
/// for their use, and always one unit when there is any prefetch.
std::vector<int> Builder::units_ahead(const MicroState& state, std::size_t position,
                                      int& beyond) const {
  std::vector<int> units;
  Numel ahead;
  auto gathered = state.gathered_numel;
  std::set<int> seen(state.uses[position].units.begin(), state.uses[position].units.end());
  for (std::size_t i = position + 1; i < state.uses.size(); ++i) {
    for (const int u : state.uses[i].units) {
      const auto& buffers = program_.units[static_cast<std::size_t>(u)];
      const bool stays = buffers.always_gathered || (buffers.retained && state.training);
      const bool live = state.gathered.count(u) != 0;
      const bool stale = state.unpublished.count(u) != 0;
      if ((stays && live && !stale) || !seen.insert(u).second) continue;
      // A collective, and everything issued behind it, would wait. A copy waits by itself.
      if (is_updated_now(state, u) && (live || !is_offloaded(u))) return units;
      const auto size = unit_info(u).padded;
      if ((ahead.value > 0 && ahead + size > options_.prefetch) ||
          (!live && gathered + size > options_.max_live)) {
        if (!live) beyond = u;
        return units;
      }
      ahead += size;
      if (!live) gathered += size;
      if (!live || stale) units.push_back(u);
    }
  }
  return units;
}

bool Builder::is_offloaded(int u) const {
  const auto shard = program_.units[static_cast<std::size_t>(u)].param_shard.buffer;
  return program_.buffer(shard).where != Place::device;
}

bool Builder::is_updated_now(const MicroState& state, int u) const {
  return host_optimizer() && state.first() && state.training && state.used.count(u) == 0;
}

/// Of parameters on disk the unit behind those that are fetched is read already.
void Builder::gather_ahead(MicroState& state, std::size_t position) {
  if (options_.prefetch.value == 0) return;
  int beyond = -1;
  const auto units = units_ahead(state, position, beyond);
  for (const int u : units) {
    if (state.fetched.count(u) == 0) load(state, u);
  }
  if (beyond >= 0 && state.fetched.count(beyond) == 0) load(state, beyond);
  for (const int u : units) {
    if (is_updated_now(state, u) && options_.world > 1) {
      fetch(state, u);
    } else {
      gather(state, u);
    }
  }
}

void Builder::release_after(MicroState& state, std::size_t position) {
  constexpr std::size_t kReuseWithin =
      2;  // operations; keeps the last block for the first backward
  for (const int u : state.uses[position].units) {
    if (unit(u).always_gathered || (unit(u).retained && state.training)) continue;
    if (state.gathered.count(u) == 0) continue;
    bool soon = false;
    for (std::size_t i = position + 1; i < std::min(position + 1 + kReuseWithin, state.uses.size());
         ++i) {
      const auto& units = state.uses[i].units;
      soon = soon || std::find(units.begin(), units.end(), u) != units.end();
    }
    if (soon) continue;
    state.out->push_back({.kind = OpKind::release, .unit = u, .ends = {state.gathered.at(u)}});
    state.gathered.erase(u);
    state.gathered_numel = state.gathered_numel - unit_info(u).padded;
  }
}

}  // namespace zt::schedule
