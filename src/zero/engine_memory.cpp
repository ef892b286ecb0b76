// What an engine asks of the machine's memory beside the device arena.
#include <fmt/format.h>

#include "base/log.h"
#include "memory/host_memory.h"
#include "schedule/arena_peak.h"
#include "zero/engine_impl.h"

namespace zt::zero {

void Engine::Impl::limit_library() const {
  constexpr Bytes kLater{512 << 20};  // kernels and workspaces that the first step loads
  const auto used = memory::device_used(machine.device) + kLater;
  if (used >= options.device_limit) {
    throw DeviceError(fmt::format(
        "[zero.engine] --gpu_memory: got {} in use with the planned memory, expected less than {}. "
        "Use more offload, recompute full or a smaller batch; see zt plan.",
        format_bytes(used), format_bytes(options.device_limit)));
  }
  memory::limit_library(machine.device, {options.device_limit.value - used.value});
}

void Engine::Impl::require_host_memory(const RankContext& context) const {
  const auto before = memory::host_memory_state();
  context.communicator->barrier();  // until here no rank has reserved anything
  std::vector<memory::HostItem> items;
  for (const auto where : {Place::host, Place::device}) {
    if (where == Place::device && context.device != Device::cpu) continue;
    const auto peak = schedule::arena_peak(program, where);
    for (std::size_t k = 0; k < peak.kinds.size(); ++k) {
      items.push_back({to_string(static_cast<schedule::BufferKind>(k)), peak.kinds[k]});
    }
    items.push_back({"gaps", peak.unused});
  }
  const auto doubt =
      memory::check_host_memory(items, context.local_world, before, options.host_limit);
  if (!doubt.empty() && context.local_rank == 0) log::warning("engine", doubt);
}

memory::HostMemory Engine::Impl::host_memory() const {
  memory::HostMemory host{.pinned = options.zero.pin_memory, .pool = machine.pool.get()};
  for (const auto& buffer : program.buffers) {
    if (buffer.where == Place::host && buffer.lifetime == schedule::Lifetime::run) {
      host.ranges.emplace_back(buffer.offset, buffer.bytes());
    }
  }
  return host;
}

HostRates Engine::measure_host() {
  auto& self = *impl_;
  self.require(!self.loaded && self.steps == 0, "measure_host after parameters were loaded");
  return zero::measure_host(self.machine, self.executor->queues());
}

}  // namespace zt::zero
