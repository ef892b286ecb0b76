#include "launch/node_side.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "base/sockets.h"
#include "config/env.h"
#include "launch/launch_plan.h"
#include "launch/node_messages.h"
#include "launch/order_reader.h"
#include "launch/pid_file.h"

namespace zt::launch {
namespace {

constexpr auto kJobTimeout = std::chrono::seconds(60);
constexpr auto kStartTimeout = std::chrono::hours(2);  ///< the other side has a limit of its own

void answer(const std::string& line) {
  const std::string text = line + "\n";
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

void enter(const NodeJob& job) {
  if (chdir(job.folder.c_str()) != 0) {
    throw ConfigError("[launch.node] the folder '" + job.folder +
                      "' of the command cannot be entered on every machine: " +
                      std::strerror(errno) + ". Share it, or create it there.");
  }
  for (const auto& [name, value] : job.variables) setenv(name.c_str(), value.c_str(), 1);
}

/// The address of this machine that the others reach: where ssh came in, else where the way to
/// another host begins.
std::string find_master_addr(const NodeJob& job) {
  if (!job.master_addr.empty()) return job.master_addr;
  const config::Variables variables = config::all_variables();
  if (const auto ssh = variables.find("SSH_CONNECTION"); ssh != variables.end()) {
    // client address, its port, this address, its port
    const std::size_t first = ssh->second.find(' '), second = ssh->second.find(' ', first + 1);
    const std::size_t third = ssh->second.find(' ', second + 1);
    const std::string address = ssh->second.substr(second + 1, third - second - 1);
    const bool loopback = address.rfind("127.", 0) == 0 || address == "::1";
    if (!address.empty() && (!loopback || job.num_nodes == 1)) return address;
  }
  if (job.num_nodes == 1) return "127.0.0.1";
  return net::local_address_towards(job.second_host.substr(job.second_host.find('@') + 1), 22);
}

LaunchOptions options_of(const NodeJob& job, const NodeHooks& hooks, bool& saves_pid) {
  std::vector<std::string> words = job.flags;
  words.insert(words.end(), {"--nproc", std::to_string(job.slots.size()), "--no_ssh", "--"});
  words.insert(words.end(), job.words.begin(), job.words.end());
  LaunchCommand command = parse_launch(words, 1);
  log::init(job.first_rank, log::Level::info);
  LaunchOptions& options = command.options;
  options.nnodes = job.num_nodes;
  options.node_rank = job.node_rank;
  options.first_rank = job.first_rank;
  options.world_size = job.world_size;
  if (job.sets_devices) options.devices = job.slots;
  saves_pid = command.save_pid;
  resolve_program(command);
  hooks.prepare(options);
  if (!command.log_level.empty()) log::init(job.first_rank, log::parse_level(command.log_level));
  choose_places(command, read_topology(), hooks.num_devices, config::all_variables());
  return options;
}

void start(const NodeJob& job, const NodeHooks& hooks, OrderReader& orders, NodeEnd& end) {
  bool saves_pid = false;
  LaunchOptions options = options_of(job, hooks, saves_pid);
  Supervision supervision{.socket = std::nullopt, .orders = &orders};
  NodeReady ready;
  if (job.node_rank == 0) {
    ready.master_addr = find_master_addr(job);
    supervision.socket.emplace(net::listen_socket(ready.master_addr, job.master_port));
    ready.master_port = supervision.socket->port();
  }
  answer(encode(job.token, ready));
  const auto line = orders.wait_line(kStartTimeout);
  const NodeOrder order = line ? decode_order(*line) : NodeOrder{};
  if (!order.start) {  // another machine could not start, or the user changed their mind
    end.status = order.signal != 0 ? 128 + order.signal : 1;
    return;
  }
  options.master_addr = order.master_addr;
  options.master_port = order.master_port;
  std::optional<PidFile> pid_file;
  if (saves_pid) pid_file.emplace(job.launcher_pid, job.node_rank);
  const RanksEnd ranks = supervise_ranks(options, std::move(supervision));
  end = {.status = ranks.status,
         .rank = ranks.rank,
         .consequence = ranks.consequence,
         .failure = ranks.failure};
}

}  // namespace

int run_node(const NodeHooks& hooks) {
  OrderReader orders(STDIN_FILENO);
  const auto line = orders.wait_line(kJobTimeout);
  if (!line) {
    throw CommError(
        "[launch.node] no job came over stdin. --node_stdin is for zt launch alone, which starts "
        "other machines with it.");
  }
  const NodeJob job = decode_job(*line);
  NodeEnd end;
  try {
    enter(job);
    start(job, hooks, orders, end);
  } catch (const std::exception& error) {
    end = {.status = hooks.exit_code(error),
           .rank = -1,
           .consequence = false,
           .failure = error.what()};
  }
  answer(encode(job.token, end));
  return end.status;
}

}  // namespace zt::launch
