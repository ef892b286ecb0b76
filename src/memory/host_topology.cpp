#include "memory/host_topology.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"

namespace zt::memory {
namespace {

namespace fs = std::filesystem;

std::string read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::set<int> usable_cpus() {
  // The mask may be wider than cpu_set_t on large machines: the kernel then asks for more room.
  for (int count = 1024; count <= (1 << 18); count *= 4) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<std::size_t>(count));
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(count));
    const bool known = mask != nullptr && sched_getaffinity(0, size, mask) == 0;
    std::set<int> result;
    for (int cpu = 0; known && cpu < count; ++cpu) {
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), size, mask)) result.insert(cpu);
    }
    CPU_FREE(mask);
    if (!result.empty()) return result;
  }
  return {0};
}

/// One usable hardware thread per physical core, the first of its siblings.
std::vector<int> one_per_core(const fs::path& root, const std::vector<int>& cpus) {
  std::vector<int> result;
  std::set<int> taken;
  for (const int cpu : cpus) {
    if (taken.count(cpu) != 0) continue;
    result.push_back(cpu);
    taken.insert(cpu);
    const auto siblings = root / "sys/devices/system/cpu" / ("cpu" + std::to_string(cpu)) /
                          "topology/thread_siblings_list";
    for (const int sibling : parse_cpu_list(read_line(siblings))) taken.insert(sibling);
  }
  return result;
}

/// Processors granted by a cgroup folder of version 2 or 1; 0 without a limit.
double quota_of(const fs::path& folder) {
  std::istringstream both(read_line(folder / "cpu.max"));
  double quota = 0;
  double period = 0;
  if (!(both >> quota >> period)) {
    quota = std::atof(read_line(folder / "cpu.cfs_quota_us").c_str());
    period = std::atof(read_line(folder / "cpu.cfs_period_us").c_str());
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

/// The tightest limit from this process's cgroup up to the root of the hierarchy.
double cgroup_quota(const fs::path& root) {
  double tightest = 0;
  const auto take = [&](const fs::path& folder) {
    const double quota = quota_of(folder);
    if (quota > 0 && (tightest == 0 || quota < tightest)) tightest = quota;
  };
  std::ifstream memberships(root / "proc/self/cgroup");
  std::string line;
  while (std::getline(memberships, line)) {
    const auto colon = line.rfind(':');
    if (colon == std::string::npos) continue;
    const bool unified = line.rfind("0::", 0) == 0;
    if (!unified && line.find("cpu,") == std::string::npos &&
        line.find(":cpu:") == std::string::npos) {
      continue;
    }
    const fs::path base = root / (unified ? "sys/fs/cgroup" : "sys/fs/cgroup/cpu");
    fs::path below = fs::path(line.substr(colon + 1)).relative_path();
    for (;; below = below.parent_path()) {
      take(base / below);
      if (below.empty()) break;
    }
  }
  return tightest;
}

/// Processors of the process that started this one; 0 where /proc does not say.
int cpus_of_parent(const fs::path& root) {
  std::ifstream status(root / "proc" / std::to_string(getppid()) / "status");
  const std::string key = "Cpus_allowed_list:";
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind(key, 0) != 0) continue;
    const auto begin = line.find_first_of("0123456789", key.size());
    return begin == std::string::npos ? 0
                                      : static_cast<int>(parse_cpu_list(line.substr(begin)).size());
  }
  return 0;
}

}  // namespace

int HostTopology::num_cpus() const {
  std::size_t count = 0;
  for (const auto& node : nodes) count += node.cpus.size();
  return static_cast<int>(count);
}

int HostTopology::num_cores() const {
  std::size_t count = 0;
  for (const auto& node : nodes) count += node.cores.size();
  return static_cast<int>(count);
}

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> result;
  std::istringstream parts(text);
  std::string part;
  while (std::getline(parts, part, ',')) {
    char* rest = nullptr;
    const long first = std::strtol(part.c_str(), &rest, 10);
    if (rest == part.c_str()) break;
    const long last = *rest == '-' ? std::strtol(rest + 1, nullptr, 10) : first;
    for (long cpu = first; cpu <= last; ++cpu) result.push_back(static_cast<int>(cpu));
  }
  return result;
}

HostTopology host_topology(const std::string& root_path) {
  const fs::path root(root_path);
  const auto usable = usable_cpus();
  HostTopology result;
  std::map<int, std::vector<int>> nodes;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(root / "sys/devices/system/node", missing)) {
    const auto name = entry.path().filename().string();
    if (name.rfind("node", 0) != 0 || name.size() < 5 || name[4] < '0' || name[4] > '9') continue;
    const auto cpus = parse_cpu_list(read_line(entry.path() / "cpulist"));
    auto& mine = nodes[std::atoi(name.c_str() + 4)];
    for (const int cpu : cpus) {
      if (usable.count(cpu) != 0) mine.push_back(cpu);
    }
  }
  result.machine_nodes = std::max<int>(1, static_cast<int>(nodes.size()));
  for (const auto& [id, cpus] : nodes) {
    if (!cpus.empty()) result.nodes.push_back({id, cpus, one_per_core(root, cpus)});
  }
  if (result.nodes.empty()) {
    const std::vector<int> cpus(usable.begin(), usable.end());
    result.nodes.push_back({0, cpus, one_per_core(root, cpus)});
  }
  result.quota = cgroup_quota(root);
  result.parent_cpus = cpus_of_parent(root);
  return result;
}

HostTopology share_of_rank(const HostTopology& host, int local_rank, int local_world) {
  ZT_ASSERT(local_world >= 1 && local_rank >= 0 && local_rank < local_world,
            "local rank outside of the local ranks");
  const int cores = host.num_cores();
  if (host.num_cpus() < host.parent_cpus) {
    // Which of the others have the same processors is not known here: the kernel spreads threads.
    const double sharing = std::max(
        1.0, std::round(static_cast<double>(local_world) * host.num_cpus() / host.parent_cpus));
    HostTopology bound = host;
    bound.threads = std::max(1, static_cast<int>(cores / sharing));
    bound.quota = host.quota / local_world;
    return bound;
  }
  int begin = static_cast<int>(static_cast<std::int64_t>(cores) * local_rank / local_world);
  int end = static_cast<int>(static_cast<std::int64_t>(cores) * (local_rank + 1) / local_world);
  if (begin == end) {
    begin = local_rank % cores;
    end = begin + 1;
  }
  HostTopology result{
      .nodes = {}, .machine_nodes = host.machine_nodes, .quota = host.quota / local_world};
  int at = 0;
  for (const auto& node : host.nodes) {
    HostNode mine{.id = node.id, .cpus = {}, .cores = {}};
    for (const int core : node.cores) {
      if (at >= begin && at < end) mine.cores.push_back(core);
      ++at;
    }
    if (mine.cores.empty()) continue;
    // A rank that has the whole node may use its second hardware threads as well.
    mine.cpus = mine.cores.size() == node.cores.size() ? node.cpus : mine.cores;
    result.nodes.push_back(std::move(mine));
  }
  return result;
}

}  // namespace zt::memory
