#include "launch/launch_plan.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/sockets.h"
#include "config/text_values.h"

namespace zt::launch {
namespace {

constexpr const char* kVisibleDevices = "CUDA_VISIBLE_DEVICES";

std::vector<int> first_slots(int count) {
  std::vector<int> slots(static_cast<std::size_t>(count));
  std::iota(slots.begin(), slots.end(), 0);
  return slots;
}

std::vector<Host> choose_hosts(const LaunchCommand& command, int num_devices) {
  const MachineFlags& flags = command.machines;
  const bool filtered = !flags.include.empty() || !flags.exclude.empty();
  if (flags.hostfile.empty()) {
    if (!filtered && !flags.force_multi) return {};
    const int count = flags.nproc_given ? command.options.nproc : std::max(1, num_devices);
    return filter_hosts({{"localhost", first_slots(count)}}, flags.include, flags.exclude,
                        /*any_slot=*/true);
  }
  std::vector<Host> hosts =
      filter_hosts(read_hostfile(flags.hostfile), flags.include, flags.exclude);
  if (flags.nnodes_given) {
    const auto wanted = static_cast<std::size_t>(command.options.nnodes);
    if (wanted > hosts.size()) {
      throw ConfigError("[launch.hosts] --num_nodes: got " + std::to_string(wanted) + ", but " +
                        flags.hostfile + " has " + std::to_string(hosts.size()) +
                        " hosts. Add hosts, or ask for fewer.");
    }
    hosts.resize(wanted);
  }
  if (flags.nproc_given) {
    for (Host& host : hosts) host.slots = first_slots(command.options.nproc);
  }
  return hosts;
}

/// True when the name stands for an address of this machine.
bool is_this_machine(const std::string& name) {
  try {
    return net::bind_socket(name.substr(name.find('@') + 1), 0).port() > 0;
  } catch (const CommError&) {
    return false;
  }
}

/// This machine is hosts[node]: its ranks, and their place among those of the others.
void take_place(LaunchOptions& options, const std::vector<Host>& hosts, std::size_t node) {
  options.nnodes = static_cast<int>(hosts.size());
  options.node_rank = static_cast<int>(node);
  options.nproc = static_cast<int>(hosts[node].slots.size());
  options.first_rank =
      num_slots({hosts.begin(), hosts.begin() + static_cast<std::ptrdiff_t>(node)});
  options.world_size = num_slots(hosts);
  options.devices = hosts[node].slots;
}

void take_place_by_hand(LaunchCommand& command, const std::vector<Host>& hosts) {
  LaunchOptions& options = command.options;
  const auto node = static_cast<std::size_t>(options.node_rank);
  if (hosts.size() > 1 && !command.machines.node_rank_given) {
    throw ConfigError(
        "[launch.hosts] --no_ssh: --node_rank is missing. Give this machine's place among the "
        "hosts, from 0.");
  }
  if (node >= hosts.size()) {
    throw ConfigError("[launch.hosts] --node_rank: got " + std::to_string(node) +
                      ", expected less than the " + std::to_string(hosts.size()) + " hosts.");
  }
  take_place(options, hosts, node);
  if (hosts.size() == 1) return;
  if (!command.machines.address_given) options.master_addr = hosts.front().name;
  if (options.master_port == 0) options.master_port = 29500;
}

/// Numbers of the devices that ranks see, when the variable holds numbers.
std::vector<int> visible_devices(const LaunchOptions& options, const config::Variables& variables) {
  if (!options.devices.empty()) return options.devices;
  const auto set = variables.find(kVisibleDevices);
  std::vector<int> all = first_slots(options.nproc);
  if (set == variables.end()) return all;
  std::vector<int> devices;
  std::size_t at = 0;
  while (at <= set->second.size()) {
    const std::size_t comma = std::min(set->second.find(',', at), set->second.size());
    const auto device = config::parse_integer(set->second.substr(at, comma - at));
    if (!device || *device < 0 || *device > 4096) return {};
    devices.push_back(static_cast<int>(*device));
    at = comma + 1;
  }
  return devices;
}

}  // namespace

LaunchPlan plan_launch(LaunchCommand& command, int num_devices,
                       const config::Variables& variables) {
  LaunchPlan plan;
  if (command.wants_torchrun) {
    plan.starter = Starter::torchrun;
    return plan;
  }
  const MachineFlags& flags = command.machines;
  plan.hosts = choose_hosts(command, num_devices);
  if (!flags.no_ssh && flags.launcher != "ssh") {
    plan.starter = flags.launcher == "slurm" ? Starter::slurm : Starter::openmpi;
    return plan;
  }
  if (plan.hosts.empty()) return plan;
  if (flags.no_ssh) {
    take_place_by_hand(command, plan.hosts);
    return plan;
  }
  const bool local =
      plan.hosts.size() == 1 && !flags.force_multi && is_this_machine(plan.hosts.front().name);
  if (!local) {
    plan.starter = Starter::ssh;
    return plan;
  }
  take_place(command.options, plan.hosts, 0);
  if (variables.count(kVisibleDevices) > 0) {
    plan.notices.push_back(std::string(kVisibleDevices) + "=" + variables.at(kVisibleDevices) +
                           " does not count: the slots are devices " +
                           slot_list(plan.hosts.front()));
  }
  return plan;
}

void resolve_program(LaunchCommand& command) {
  LaunchOptions& options = command.options;
  const bool is_script = options.program.size() > 3 &&
                         options.program.compare(options.program.size() - 3, 3, ".py") == 0;
  if (!command.program.module && (command.program.no_python || !is_script)) return;
  std::vector<std::string> words = {"-u"};
  if (command.program.module) words.emplace_back("-m");
  if (!command.program.module) options.script = options.program;
  words.push_back(options.program);
  if (command.program.pass_local_rank) options.local_rank_at = static_cast<int>(words.size());
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  options.arguments = std::move(words);
  options.program = options.executable = "python3";
}

void choose_places(LaunchCommand& command, const Topology& topology, int num_devices,
                   const config::Variables& variables) {
  LaunchOptions& options = command.options;
  if (command.bind_cores || !command.bind_list.empty()) {
    if (variables.count("KMP_AFFINITY") > 0) {
      throw ConfigError(
          "[launch.bind] KMP_AFFINITY is set and would bind threads its own way. Unset it, or "
          "leave out --bind_cores_to_rank.");
    }
    options.places = places_by_cores(topology, options.nproc, command.bind_list);
    return;
  }
  if (!command.affinity || num_devices == 0 || options.nproc > num_devices) return;
  std::vector<int> devices = visible_devices(options, variables);
  if (devices.size() < static_cast<std::size_t>(options.nproc)) return;
  devices.resize(static_cast<std::size_t>(options.nproc));
  options.places = places_by_gpu(topology, devices);
}

}  // namespace zt::launch
