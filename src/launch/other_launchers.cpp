#include "launch/other_launchers.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "base/error.h"

namespace zt::launch {
namespace {

/// MPI runners and Slurm count slots and cannot pick them.
void check_slots(const std::vector<Host>& hosts, const std::string& launcher) {
  for (const Host& host : hosts) {
    for (std::size_t i = 0; i < host.slots.size(); ++i) {
      if (host.slots[i] == static_cast<int>(i)) continue;
      throw ConfigError("[launch.hosts] --launcher " + launcher + " cannot choose slots: got " +
                        host.name + ":" + slot_list(host) +
                        ". Filter by hosts, or use --launcher ssh.");
    }
  }
}

bool is_program(const std::string& path) {
  std::error_code error;
  return access(path.c_str(), X_OK) == 0 && !std::filesystem::is_directory(path, error);
}

int num_ranks(const LaunchCommand& command, const std::vector<Host>& hosts) {
  return hosts.empty() ? command.options.nproc * command.options.nnodes : num_slots(hosts);
}

void append_program(const LaunchCommand& command, std::vector<std::string>& words) {
  if (command.options.local_rank_at >= 0) {
    throw ConfigError(
        "[launch.flags] --pass_local_rank needs a launcher of ours on each machine. Use --launcher "
        "ssh, or let the program read LOCAL_RANK's counterpart of MPI or Slurm.");
  }
  words.push_back(command.options.executable);
  words.insert(words.end(), command.options.arguments.begin(), command.options.arguments.end());
}

}  // namespace

OtherLauncher openmpi_command(const LaunchCommand& command, const std::vector<Host>& hosts,
                              const config::Variables& exported,
                              const std::vector<std::string>& before) {
  check_slots(hosts, "openmpi");
  OtherLauncher run{{"mpirun", "-n", std::to_string(num_ranks(command, hosts))}, exported};
  // Its own binding, one core per rank, would starve the ranks' threads.
  run.words.insert(run.words.end(), {"--bind-to", "none"});
  if (!hosts.empty()) {
    std::string list;
    for (const Host& host : hosts) {
      list += (list.empty() ? "" : ",") + host.name + ":" + std::to_string(host.slots.size());
    }
    run.words.insert(run.words.end(), {"--host", list});
  } else {
    run.words.emplace_back("--oversubscribe");
  }
  if (hosts.size() > 1) {
    run.variables["MASTER_ADDR"] =
        command.machines.address_given ? command.options.master_addr : hosts.front().name;
    run.variables["MASTER_PORT"] =
        std::to_string(command.options.master_port > 0 ? command.options.master_port : 29500);
  }
  for (const auto& [name, value] : run.variables) {
    run.words.insert(run.words.end(), {"-x", name});
  }
  const auto& more = command.machines.launcher_args;
  run.words.insert(run.words.end(), more.begin(), more.end());
  run.words.insert(run.words.end(), before.begin(), before.end());
  append_program(command, run.words);
  return run;
}

OtherLauncher slurm_command(const LaunchCommand& command, const std::vector<Host>& hosts,
                            const config::Variables& exported) {
  check_slots(hosts, "slurm");
  OtherLauncher run{{"srun"}, exported};
  const MachineFlags& flags = command.machines;
  auto add = [&](const std::string& name, const std::string& value) {
    run.words.push_back("--" + name + "=" + value);
  };
  if (!hosts.empty()) {
    std::string list;
    for (const Host& host : hosts) list += (list.empty() ? "" : ",") + host.name;
    add("nodes", std::to_string(hosts.size()));
    add("nodelist", list);
  } else if (flags.nnodes_given) {
    add("nodes", std::to_string(command.options.nnodes));
  }
  add("ntasks", std::to_string(num_ranks(command, hosts)));
  add("distribution", "block");
  add("kill-on-bad-exit", "1");
  add("export", "ALL");
  if (flags.address_given) run.variables["MASTER_ADDR"] = command.options.master_addr;
  if (command.options.master_port > 0) {
    run.variables["MASTER_PORT"] = std::to_string(command.options.master_port);
  }
  run.words.insert(run.words.end(), flags.launcher_args.begin(), flags.launcher_args.end());
  append_program(command, run.words);
  return run;
}

std::vector<std::string> torchrun_command(const LaunchCommand& command) {
  std::vector<std::string> words = {"torchrun"};
  words.insert(words.end(), command.torchrun_flags.begin(), command.torchrun_flags.end());
  const std::string& program = command.options.program;
  const bool is_script = program.size() > 3 && program.compare(program.size() - 3, 3, ".py") == 0;
  const bool has_flag = std::find(words.begin(), words.end(), "--no_python") != words.end();
  if (!is_script && !has_flag && !command.program.module) words.emplace_back("--no_python");
  words.push_back(command.options.executable);
  words.insert(words.end(), command.options.arguments.begin(), command.options.arguments.end());
  return words;
}

bool is_on_path(const std::string& program) {
  const config::Variables variables = config::all_variables();
  const auto path = variables.find("PATH");
  if (path == variables.end()) return false;
  std::stringstream folders(path->second);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (is_program(folder + "/" + program)) return true;
  }
  return false;
}

void require_program(const LaunchOptions& options) {
  const std::string& program = options.executable;
  const bool is_path = program.find('/') != std::string::npos;
  if (!is_path && !is_on_path(program)) {
    const bool is_ours = program == "train" || program == "run" || program == "bench";
    throw ConfigError("[launch.start] there is no program '" + program + "' on PATH. " +
                      (is_ours
                           ? "Did you mean zt " + program + "?"
                           : "Name one that is there, or give its path, as ./" + program + "."));
  }
  std::error_code error;
  if (is_path && !is_program(program)) {
    const bool exists = std::filesystem::exists(program, error);
    throw ConfigError("[launch.start] cannot run '" + program + "': it " +
                      (exists ? "is no executable file. Make it one (chmod +x)"
                              : "does not exist. Give the path of a program") +
                      ".");
  }
  if (!options.script.empty() && !std::filesystem::is_regular_file(options.script, error)) {
    throw ConfigError("[launch.start] there is no file '" + options.script +
                      "'. Give the path of a Python program.");
  }
}

}  // namespace zt::launch
