#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launch/run_ranks.h"

namespace zt::launch {

/// The processors that this process may use and how memory and GPUs lie beside them.
struct Topology {
  std::vector<int> cpus;                ///< allowed here, ascending
  std::vector<int> cores;               ///< of these the first of each physical core
  std::vector<std::vector<int>> nodes;  ///< allowed processors of each NUMA node
  std::vector<int> gpu_nodes;           ///< NUMA node of each GPU in PCI order; -1: not known
};

/// Reads /sys, /proc and this process's mask. `root` is put in front of the paths.
[[nodiscard]] Topology read_topology(const std::string& root = "");

/// `0-3,8` as 0 1 2 3 8. Nothing when it is no such list or empty.
[[nodiscard]] std::optional<std::vector<int>> parse_cpu_list(const std::string& text);

/// `--bind_cores_to_rank`: the physical cores, or those of `list`, cut into `nproc` equal runs;
/// memory from the NUMA node when a run lies within one. Errors: ConfigError when there are fewer
/// cores than ranks or the list has a core that is not allowed here.
[[nodiscard]] std::vector<RankPlace> places_by_cores(const Topology& topology, int nproc,
                                                     const std::vector<int>& list);

/// The default: each rank on the NUMA node of its GPU, where all of that is known, there are
/// several nodes, and no processor is left without a rank. Otherwise nothing. `devices`: GPU of
/// each rank, as the PCI order counts.
[[nodiscard]] std::vector<RankPlace> places_by_gpu(const Topology& topology,
                                                   const std::vector<int>& devices);

/// Moves this process there. What the kernel refuses stays as it is: a place is a matter of speed.
void settle(const RankPlace& place);

}  // namespace zt::launch
