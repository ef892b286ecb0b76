// What an engine asks of the machine's memory beside the device arena.
#include <fmt/format.h>

#include "memory/host_memory.h"
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

void Engine::Impl::require_host_memory() const {
  std::vector<memory::HostItem> items{{"host arena", program.host_arena}};
  if (machine.device == Device::cpu) items.push_back({"device arena", program.device_arena});
  // Other ranks may have reserved their part already: of what is left only the own part is asked.
  const int ranks = options.host_limit ? machine.local_world : 1;
  static_cast<void>(
      memory::check_host_memory(items, ranks, memory::host_memory_state(), options.host_limit));
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
