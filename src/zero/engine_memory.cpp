// What an engine asks of the machine's memory beside the device arena.
#include <fmt/format.h>

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

memory::HostMemory Engine::Impl::host_memory() const {
  memory::HostMemory host{.pinned = options.zero.pin_memory, .pool = machine.pool.get()};
  for (const auto& buffer : program.buffers) {
    if (buffer.where == Place::host && buffer.lifetime == schedule::Lifetime::run) {
      host.ranges.emplace_back(buffer.offset, buffer.bytes());
    }
  }
  return host;
}

}  // namespace zt::zero
