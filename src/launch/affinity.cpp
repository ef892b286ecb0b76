#include "launch/affinity.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/error.h"

namespace zt::launch {
namespace {

namespace fs = std::filesystem;

constexpr int kMostCpus = 1 << 14;
constexpr int kMostNodes = 1024;

std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::optional<int> small_number(const std::string& text) {
  if (text.empty() || text.size() > 5 ||
      text.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  return std::stoi(text);
}

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  cpu_set_t* mask = CPU_ALLOC(kMostCpus);
  const std::size_t size = CPU_ALLOC_SIZE(kMostCpus);
  CPU_ZERO_S(size, mask);
  if (sched_getaffinity(0, size, mask) == 0) {
    for (int cpu = 0; cpu < kMostCpus; ++cpu) {
      if (CPU_ISSET_S(cpu, size, mask)) cpus.push_back(cpu);
    }
  }
  CPU_FREE(mask);
  return cpus;
}

/// Those of `some` that are in `all`; both ascending.
std::vector<int> common(const std::vector<int>& some, const std::vector<int>& all) {
  std::vector<int> both;
  std::set_intersection(some.begin(), some.end(), all.begin(), all.end(), std::back_inserter(both));
  return both;
}

/// Folders `<prefix><number>` of a folder, by number.
std::vector<int> numbered(const fs::path& folder, const std::string& prefix) {
  std::vector<int> numbers;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    if (name.rfind(prefix, 0) != 0) continue;
    if (const auto number = small_number(name.substr(prefix.size()))) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

/// The driver's folder has one entry per GPU, named by its PCI address.
std::vector<int> gpu_nodes(const fs::path& root) {
  std::vector<std::string> addresses;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "proc/driver/nvidia/gpus", error)) {
    addresses.push_back(entry.path().filename());
  }
  std::sort(addresses.begin(), addresses.end());
  std::vector<int> nodes;
  for (const std::string& address : addresses) {
    const auto node =
        small_number(first_line(root / "sys/bus/pci/devices" / address / "numa_node"));
    nodes.push_back(node.value_or(-1));
  }
  return nodes;
}

int node_of(const Topology& topology, const std::vector<int>& cpus) {
  for (std::size_t node = 0; node < topology.nodes.size(); ++node) {
    if (common(cpus, topology.nodes[node]) == cpus) return static_cast<int>(node);
  }
  return -1;
}

}  // namespace

std::optional<std::vector<int>> parse_cpu_list(const std::string& text) {
  std::set<int> cpus;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    const std::size_t dash = part.find('-');
    const auto first = small_number(part.substr(0, dash));
    const auto last = dash == std::string::npos ? first : small_number(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= kMostCpus) return std::nullopt;
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.insert(cpu);
    at = comma + 1;
  }
  return std::vector<int>(cpus.begin(), cpus.end());
}

Topology read_topology(const std::string& root) {
  const fs::path base = root.empty() ? fs::path("/") : fs::path(root);
  const fs::path devices = base / "sys/devices/system";
  Topology topology;
  topology.cpus = allowed_cpus();
  if (!root.empty()) {  // a described machine: all of its processors
    topology.cpus = parse_cpu_list(first_line(devices / "cpu/online")).value_or(topology.cpus);
  }
  for (const int cpu : topology.cpus) {
    const auto siblings = parse_cpu_list(first_line(
        devices / "cpu" / ("cpu" + std::to_string(cpu)) / "topology/thread_siblings_list"));
    const std::vector<int> here = common(siblings.value_or(std::vector<int>{cpu}), topology.cpus);
    if (here.empty() || here.front() == cpu) topology.cores.push_back(cpu);
  }
  for (const int node : numbered(devices / "node", "node")) {
    topology.nodes.resize(static_cast<std::size_t>(node) + 1);
    const auto cpus =
        parse_cpu_list(first_line(devices / "node" / ("node" + std::to_string(node)) / "cpulist"));
    topology.nodes.back() = common(cpus.value_or(std::vector<int>()), topology.cpus);
  }
  topology.gpu_nodes = gpu_nodes(base);
  return topology;
}

std::vector<RankPlace> places_by_cores(const Topology& topology, int nproc,
                                       const std::vector<int>& list) {
  if (!list.empty() && common(list, topology.cpus) != list) {
    throw ConfigError(
        "[launch.bind] --bind_core_list names a core that this process may not use. `taskset -pc "
        "$$` shows those that it may.");
  }
  const std::vector<int>& cores = list.empty() ? topology.cores : list;
  const std::size_t share = cores.size() / static_cast<std::size_t>(nproc);
  if (share == 0) {
    throw ConfigError("[launch.bind] --bind_cores_to_rank: got " + std::to_string(nproc) +
                      " ranks for " + std::to_string(cores.size()) +
                      " cores, expected at least one core each. Start fewer ranks.");
  }
  std::vector<RankPlace> places;
  for (std::size_t rank = 0; rank < static_cast<std::size_t>(nproc); ++rank) {
    const auto first = cores.begin() + static_cast<std::ptrdiff_t>(rank * share);
    RankPlace place{{first, first + static_cast<std::ptrdiff_t>(share)}, -1};
    place.memory_node = node_of(topology, place.cpus);
    places.push_back(std::move(place));
  }
  return places;
}

std::vector<RankPlace> places_by_gpu(const Topology& topology, const std::vector<int>& devices) {
  std::vector<RankPlace> places;
  std::set<int> used;
  for (const int device : devices) {
    if (device < 0 || device >= static_cast<int>(topology.gpu_nodes.size())) return {};
    const int node = topology.gpu_nodes[static_cast<std::size_t>(device)];
    if (node < 0 || node >= static_cast<int>(topology.nodes.size())) return {};
    const std::vector<int>& cpus = topology.nodes[static_cast<std::size_t>(node)];
    if (cpus.empty()) return {};
    used.insert(cpus.begin(), cpus.end());
    places.push_back({cpus, -1});
  }
  const bool one_node = topology.nodes.size() < 2;
  return one_node || used.size() < topology.cpus.size() ? std::vector<RankPlace>() : places;
}

void settle(const RankPlace& place) {
  if (!place.cpus.empty()) {
    cpu_set_t* mask = CPU_ALLOC(kMostCpus);
    const std::size_t size = CPU_ALLOC_SIZE(kMostCpus);
    CPU_ZERO_S(size, mask);
    for (const int cpu : place.cpus) CPU_SET_S(static_cast<unsigned>(cpu), size, mask);
    sched_setaffinity(0, size, mask);
    CPU_FREE(mask);
  }
  if (place.memory_node >= 0 && place.memory_node < kMostNodes) {
    constexpr std::size_t kBits = 8 * sizeof(unsigned long);
    std::array<unsigned long, kMostNodes / kBits> nodes{};
    const auto node = static_cast<std::size_t>(place.memory_node);
    nodes[node / kBits] |= 1UL << (node % kBits);
    syscall(SYS_set_mempolicy, MPOL_BIND, nodes.data(), kMostNodes);
  }
}

}  // namespace zt::launch
