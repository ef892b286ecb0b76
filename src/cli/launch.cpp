#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/start_ranks.h"
#include "config/env.h"
#include "launch/exported_variables.h"
#include "launch/fan_out.h"
#include "launch/launch_flags.h"
#include "launch/launch_plan.h"
#include "launch/node_side.h"
#include "launch/other_launchers.h"
#include "launch/pid_file.h"
#include "launch/ssh_command.h"
#include "memory/arena.h"

namespace zt::cli {
namespace {

namespace fs = std::filesystem;

/// True for this very program, under whatever path.
bool is_this_program(const std::string& program) {
  if (program == "zt") return true;
  std::error_code error;
  return fs::equivalent(program, "/proc/self/exe", error);
}

/// Ours by its own file, whatever PATH says; the store's socket goes to no other program.
void use_this_program(launch::LaunchOptions& options) {
  options.pass_socket = is_this_program(options.program);
  if (!options.pass_socket) return;
  options.program = "zt";
  options.executable = "/proc/self/exe";
}

std::string path_of_this_program() { return fs::read_symlink("/proc/self/exe").string(); }

/// Becomes another launcher.
int become(std::vector<std::string> words, const config::Variables& variables) {
  if (words.front().find('/') == std::string::npos && !launch::is_on_path(words.front())) {
    throw ConfigError("[launch.start] " + words.front() +
                      " is not on PATH. Install it, or start without its flags: zt launch needs "
                      "nothing else.");
  }
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv.front(), argv.data());
  throw DeviceError("[launch.start] cannot run " + words.front() + ": " + std::strerror(errno) +
                    ". Is it a program for this machine?");
}

int launch_over_ssh(const launch::LaunchCommand& command, const launch::LaunchPlan& plan) {
  const std::string folder = fs::current_path().string();
  const std::string zt = path_of_this_program();
  launch::FanOutOptions options;
  options.hosts = plan.hosts;
  options.job = {
      .token = launch::random_token(),
      .num_nodes = static_cast<int>(plan.hosts.size()),
      .world_size = launch::num_slots(plan.hosts),
      .slots = {},
      .second_host = "",
      .master_addr = command.machines.address_given ? command.options.master_addr : std::string(),
      .master_port = command.options.master_port,
      .folder = folder,
      .variables = launch::exported_variables(config::all_variables(), folder),
      .words = command.options.arguments,
      .flags = command.node_flags,
      .launcher_pid = getpid()};
  const std::string& program = command.options.program;
  options.job.words.insert(options.job.words.begin(), is_this_program(program) ? "zt" : program);
  for (const launch::Host& host : plan.hosts) {
    options.commands.push_back(launch::ssh_command(command.machines, host.name, zt));
  }
  options.connect_timeout = command.machines.connect_timeout;
  options.stop_grace = command.options.stop_grace;
  return launch::fan_out(options);
}

/// A rank of another runner, which leaves what it started alone when it is killed. Becomes the
/// program.
int run_tied(launch::LaunchCommand& command) {
  const pid_t runner = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // stays over exec
  if (getppid() != runner) return 128 + SIGKILL;
  std::vector<std::string> words = {command.options.program};
  words.insert(words.end(), command.options.arguments.begin(), command.options.arguments.end());
  return become(std::move(words), {});
}

/// Environment that Slurm and mpirun pass on, and the program by its path.
int launch_by_other(launch::LaunchCommand& command, const launch::LaunchPlan& plan) {
  std::vector<std::string> before;
  if (is_this_program(command.options.program)) {
    command.options.executable = path_of_this_program();
  } else {  // our own ranks notice by themselves, and say so
    before = {path_of_this_program(), "launch", "--tied_rank", "--"};
  }
  if (plan.starter == launch::Starter::torchrun) {
    return become(launch::torchrun_command(command), {});
  }
  launch::resolve_program(command);
  const auto exported =
      launch::exported_variables(config::all_variables(), fs::current_path().string());
  const auto other = plan.starter == launch::Starter::slurm
                         ? launch::slurm_command(command, plan.hosts, exported)
                         : launch::openmpi_command(command, plan.hosts, exported, before);
  return become(other.words, other.variables);
}

int launch_here(launch::LaunchCommand& command, int num_devices) {
  launch::resolve_program(command);
  use_this_program(command.options);
  launch::require_program(command.options);
  launch::choose_places(command, launch::read_topology(), num_devices, config::all_variables());
  std::optional<launch::PidFile> pid_file;
  if (command.save_pid) pid_file.emplace(getpid());
  if (command.options.pass_socket) check_ranks(command.options);
  if (!command.log_level.empty()) log::init(0, log::parse_level(command.log_level));
  return launch::run_ranks(command.options);
}

/// The launcher of one machine of several.
int launch_as_told(int num_devices) {
  launch::NodeHooks hooks;
  hooks.num_devices = num_devices;
  hooks.prepare = [](launch::LaunchOptions& options) {
    use_this_program(options);
    launch::require_program(options);
    if (options.pass_socket) check_ranks(options);
  };
  hooks.exit_code = [](const std::exception& error) { return exit_code(error); };
  return launch::run_node(hooks);
}

}  // namespace

int run_launch(const Arguments& arguments) {
  const int num_devices = memory::num_cuda_devices();
  launch::LaunchCommand command = launch::parse_launch(arguments, num_devices);
  if (command.wants_help) {
    std::cout << launch::launch_help();
    return 0;
  }
  if (command.is_node) return launch_as_told(num_devices);
  if (command.is_tied_rank) return run_tied(command);
  log::init(0, log::parse_level(command.log_level.empty() ? "info" : command.log_level));
  const auto plan = launch::plan_launch(command, num_devices, config::all_variables());
  for (const std::string& notice : plan.notices) log::warning("launch", notice);
  switch (plan.starter) {
    case launch::Starter::here:
      return launch_here(command, num_devices);
    case launch::Starter::ssh:
      return launch_over_ssh(command, plan);
    default:
      return launch_by_other(command, plan);
  }
}

}  // namespace zt::cli
