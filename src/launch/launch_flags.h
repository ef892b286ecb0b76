#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "launch/run_ranks.h"

namespace zt::launch {

/// How the machines of a run are found and reached.
struct MachineFlags {
  std::string hostfile, include, exclude;
  std::string launcher = "ssh";
  std::vector<std::string> launcher_args;
  int ssh_port = 0;  ///< 0: ssh's own default
  std::chrono::seconds connect_timeout{30};
  bool no_ssh = false, force_multi = false;
  bool nproc_given = false, nnodes_given = false, node_rank_given = false, address_given = false;
};

/// How the program is run.
struct ProgramFlags {
  bool module = false, no_python = false, pass_local_rank = false;
};

/// A command line of `zt launch`.
struct LaunchCommand {
  LaunchOptions options;  ///< program and arguments are what follows the flags
  MachineFlags machines;
  ProgramFlags program;
  bool bind_cores = false;
  std::vector<int> bind_list;
  bool affinity = true;
  bool save_pid = false;
  std::string log_level;                    ///< of the launcher; empty: info, or that of zt train
  std::vector<std::string> node_flags;      ///< as given: those that each machine's launcher needs
  std::vector<std::string> torchrun_flags;  ///< as given, in torchrun's names
  bool wants_torchrun = false;              ///< a flag that only torchrun has was given
  bool is_node = false;       ///< started by another launcher, which sends the rest to stdin
  bool is_tied_rank = false;  ///< becomes the program, which dies with the process that started it
  bool wants_help = false;
};

/// Parses `[flags] [--] program arguments...`. Flags as `--name value` or `--name=value`, with `_`
/// or `-`, under our names and those of torchrun and DeepSpeed. `default_nproc`: what `--nproc
/// auto`, or none, means here; at least 1.
/// Errors: ConfigError listing every problem.
[[nodiscard]] LaunchCommand parse_launch(const std::vector<std::string>& arguments,
                                         int default_nproc);

/// Words as a shell would split them: blanks, single and double quotes, backslashes; nothing is
/// expanded. Errors: ConfigError for a quote that does not end.
[[nodiscard]] std::vector<std::string> split_words(const std::string& text);

/// The text of `zt help launch`.
[[nodiscard]] std::string launch_help();

}  // namespace zt::launch
