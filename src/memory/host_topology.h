#pragma once

#include <string>
#include <vector>

namespace zt::memory {

/// Processors of one NUMA node that this process may run on.
struct HostNode {
  int id = 0;
  std::vector<int> cpus;   ///< every usable hardware thread
  std::vector<int> cores;  ///< one hardware thread per physical core
};

/// The processors that this process may use, as the affinity mask and the cgroup say.
struct HostTopology {
  std::vector<HostNode> nodes;  ///< by id; only those with a usable processor; never empty
  int machine_nodes = 1;        ///< NUMA nodes of the machine
  double quota = 0;             ///< processors that the cgroup grants; 0: no limit
  int threads = 0;              ///< that a pool should have; 0: one per core
  /// Processors of the process that started this one; more than it has itself when the launcher
  /// bound it to some. 0: not known.
  int parent_cpus = 0;

  [[nodiscard]] int num_cores() const;
  [[nodiscard]] int num_cpus() const;
};

/// Reads sysfs and the cgroup below `root` (tests give a folder of their own) and the affinity mask
/// of this process. Where sysfs is missing, all processors are one node.
HostTopology host_topology(const std::string& root = "/");

/// The cores of one of `local_world` ranks that share the host: equal runs of the cores in the
/// order of nodes, at least one core each. A rank that the launcher bound (to cores of its own, or
/// to the node of its GPU together with others) keeps all its processors, and takes as many threads
/// as its part of them says.
HostTopology share_of_rank(const HostTopology& host, int local_rank, int local_world);

/// `0-3,8,10-11` as numbers. Errors: none, text that is no number ends the list.
std::vector<int> parse_cpu_list(const std::string& text);

}  // namespace zt::memory
