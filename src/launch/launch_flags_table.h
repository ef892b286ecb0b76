#pragma once

#include <string>
#include <vector>

namespace zt::launch {

enum class FlagId {
  nproc,
  nnodes,
  node_rank,
  master_addr,
  master_port,
  hostfile,
  include,
  exclude,
  launcher,
  launcher_args,
  no_ssh,
  no_ssh_check,
  ssh_port,
  connect_timeout,
  force_multi,
  module,
  no_python,
  pass_local_rank,
  no_local_rank,
  bind_cores,
  bind_list,
  affinity,
  save_pid,
  log_dir,
  rank_log,
  grace,
  log_level,
  quiet,
  node_stdin,
  tied_rank,
  torchrun,
  help,
  ignored
};

/// One row of `zt launch --help`.
struct LaunchFlag {
  FlagId id;
  std::vector<std::string> names;  ///< our own first
  const char* value;               ///< what it takes; empty: nothing
  const char* help;                ///< empty: not shown
  bool for_torchrun = false;       ///< torchrun has it too, under its last name here
};

[[nodiscard]] const std::vector<LaunchFlag>& launch_flags();
/// By any name, with `_`. Null: there is none.
[[nodiscard]] const LaunchFlag* find_launch_flag(const std::string& name);
/// Why a flag of another launcher is refused. Empty: not known either.
[[nodiscard]] std::string refusal_of(const std::string& name);

}  // namespace zt::launch
