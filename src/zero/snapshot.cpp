#include <chrono>
#include <utility>

#include "zero/engine_impl.h"

namespace zt::zero {
namespace {

Bytes bytes_to_copy(const std::vector<ShardState>& states) {
  Bytes total;
  for (const auto& state : states) {
    if (state.where != Place::nvme) total += state.shard.bytes();
  }
  return total;
}

}  // namespace

StateSnapshot::StateSnapshot(const Machine& machine)
    : machine_(machine),
      states_(owned_state(machine)),
      arena_(Place::host, machine.device, bytes_to_copy(states_)),
      copy_(machine.device, machine.device_index) {
  Bytes end;
  for (const auto& state : states_) {
    copies_.emplace_back();
    if (state.where == Place::nvme) continue;
    copies_.back() = {arena_.at(end), state.shard.numel, state.shard.dtype};
    end += state.shard.bytes();
  }
  if (machine.disk) machine.disk->reserve_versions();
}

void StateSnapshot::start() {
  copy_.wait();
  if (machine_.disk) machine_.disk->freeze();
  std::vector<memory::BackgroundCopy::Pair> pairs;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    if (states_[i].where != Place::nvme) pairs.push_back({states_[i].shard, copies_[i]});
  }
  copy_.start(std::move(pairs));
}

void StateSnapshot::write(const StateSink& sink) {
  wait_copied();
  for (std::size_t i = 0; i < states_.size(); ++i) {
    if (states_[i].where == Place::nvme) {
      stream_disk(machine_, states_[i], sink, &Disk::read_frozen);
    } else {
      visit_slices(machine_, states_[i], copies_[i], sink);
    }
  }
  if (machine_.disk) machine_.disk->thaw();
}

void Engine::Impl::wait_for_snapshot() {
  if (!snapshot) return;
  const auto start = std::chrono::steady_clock::now();
  snapshot->wait_copied();
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
  snapshot_seconds += waited.count();
}

StateSnapshot& Engine::prepare_snapshot() {
  auto& self = *impl_;
  if (!self.snapshot) self.snapshot = std::make_unique<StateSnapshot>(self.machine);
  return *self.snapshot;
}

StateSnapshot& Engine::start_snapshot() {
  auto& self = *impl_;
  self.require(self.micro == 0 && !self.in_forward, "start_snapshot inside a step");
  auto& snapshot = prepare_snapshot();
  self.executor->synchronize();
  snapshot.start();
  return snapshot;
}

double Engine::take_snapshot_wait() { return std::exchange(impl_->snapshot_seconds, 0.0); }

}  // namespace zt::zero
