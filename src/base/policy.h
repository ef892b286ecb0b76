#pragma once

#include <cstdint>

namespace zt {

/// Where a sharded thing lives (DeepSpeed `offload_*.device`).
enum class Place : std::uint8_t { device, host, nvme };
/// What a layer keeps between forward and backward. full: only its input.
enum class Recompute : std::uint8_t { none, selective, full };
/// When gradients are reduced.
enum class ReduceAt : std::uint8_t { boundary, micro_step };
/// `ordered`: all-to-all and a local fp32 sum in rank order. `native`: the library's
/// reduce-scatter.
enum class Reduce : std::uint8_t { ordered, native };

}  // namespace zt
