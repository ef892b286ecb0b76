#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/policy.h"
#include "base/units.h"

namespace zt::config {

using zt::Place;
using zt::Recompute;
using zt::Reduce;
using zt::ReduceAt;

/// Stage, offload and the choices about communication and memory.
struct ZeroConfig {
  int stage = 0;  ///< read once, by zero::residency
  std::int64_t reduce_bucket_size = 500'000'000;
  std::int64_t allgather_bucket_size = 500'000'000;
  bool overlap_comm = true;
  Place optimizer_place = Place::device;
  Place param_place = Place::device;
  bool pin_memory = true;
  bool activations_on_host = false;  ///< what waits for a backward pass does so on the host
  // Offload to disk: folders, and the `aio` section.
  std::string optimizer_nvme_path, param_nvme_path;
  int optimizer_buffers = 4;  ///< units whose states are in host memory at once; at least 2
  std::int64_t param_in_host = 1'000'000'000;  ///< elements of parameters that need no disk
  std::int64_t aio_block_size = 1 << 20;       ///< bytes of one request
  int aio_queue_depth = 8, aio_threads = 1;
  bool aio_single_submit = false, aio_overlap_events = true;
  double offload_ratio = 1;  ///< share of the optimizer states that goes to `optimizer_place`
  /// Where reduced gradients of offloaded states wait between micro-steps; absent: with the states.
  std::optional<Place> grad_place;
  /// Reductions keep their memory over the next backward, so that it need not wait for them; the
  /// planner takes it where there is room. Absent: with overlap_comm.
  std::optional<bool> reduce_beside;
  bool offload_auto = false;  ///< "device": "auto": the plan places states and parameters
  std::int64_t prefetch_bucket_size = 50'000'000;
  bool prefetch_auto = false;  ///< the plan may set prefetch_bucket_size: no number was given
  std::int64_t max_live_parameters = 1'000'000'000;
  std::int64_t param_persistence_threshold = 100'000;
  bool gather_16bit_on_save = false;
  std::optional<ReduceAt> reduce_at;   ///< absent: auto
  bool retain_auto = true;             ///< `--retain auto|off`
  int coalesce = 0;                    ///< 0: auto, 1: off, k: k micro-batches as one
  std::optional<Recompute> recompute;  ///< absent: auto
  Reduce reduce = Reduce::ordered;
  bool deterministic = false;
  bool cuda_graphs = true;    ///< `--cuda_graphs auto|off`
  bool copy_engines = false;  ///< `--transfers nccl|copy`
};

}  // namespace zt::config
