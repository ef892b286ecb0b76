#include "train/rank_group.h"

#include <algorithm>

namespace zt::train {
namespace {

/// With the limits that the run's flags set.
comm::RendezvousOptions limited_options(const RunInput& input, const config::Config& config) {
  auto options = rendezvous_options(input.rank);
  options.timeout = std::chrono::seconds(config.run.ddp_timeout_seconds);
  options.monitor.positions.outer_timeout = options.timeout;
  options.monitor.last_resort = input.on_stuck;
  const std::chrono::milliseconds limit = std::chrono::seconds(config.run.hang_timeout_seconds);
  if (limit.count() == 0) return options;
  options.monitor.positions.hang_timeout = limit;
  options.monitor.silence = std::min(options.monitor.silence, limit);
  options.monitor.exit_grace = std::min(options.monitor.exit_grace, limit);
  return options;
}

}  // namespace

comm::RendezvousOptions rendezvous_options(const config::RankEnvironment& rank) {
  comm::RendezvousOptions options;
  options.rank = rank.rank;
  options.world = rank.world_size;
  options.local_rank = rank.local_rank;
  options.master_addr = rank.master_addr;
  options.master_port = rank.master_port;
  options.listen_fd = rank.listen_fd;
  options.use_agent_store = rank.launcher_hosts_store;
  options.run_id = std::to_string(rank.restart_count);
  options.local_world = rank.local_world_size;
  return options;
}

void with_rank_group(const RunInput& input, const config::Config& config,
                     const std::function<void(comm::RankGroup&)>& body) {
  const auto device = config.launch.device == config::DeviceKind::cuda ? Device::cuda : Device::cpu;
  const auto group = comm::rendezvous(limited_options(input, config), device);
  comm::run_part(*group, [&] {
    body(*group);
    group->position().begin(comm::Activity::finishing);
    group->leave();
  });
}

}  // namespace zt::train
