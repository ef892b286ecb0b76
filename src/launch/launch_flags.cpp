#include "launch/launch_flags.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "config/problems.h"
#include "config/text_distance.h"
#include "config/text_values.h"
#include "launch/affinity.h"
#include "launch/launch_flags_table.h"

namespace zt::launch {
namespace {

using config::shown;

constexpr int kDefaultPort = 29500;  ///< of torchrun and DeepSpeed
constexpr int kMostRanks = 4096;
constexpr const char* kDefaultHostfile = "/job/hostfile";  ///< of DeepSpeed
constexpr const char* kPlace = "command line";

std::string canonical(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

void report_unknown(const std::string& name, config::Problems& problems) {
  if (const std::string remedy = refusal_of(name); !remedy.empty()) {
    problems.add(kPlace, "--" + name + " is not built", remedy);
    return;
  }
  std::vector<std::string> known;
  for (const LaunchFlag& flag : launch_flags()) {
    known.insert(known.end(), flag.names.begin(), flag.names.end());
  }
  problems.add(kPlace, "unknown flag --" + shown(name),
               "Did you mean --" + config::nearest(name, known).name +
                   "? The program's own flags follow its name");
}

std::string start_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[16] = {};
  std::strftime(text, sizeof(text), "%Y%m%d%H%M%S", &local);
  return text;
}

class Parser {
 public:
  Parser(const std::vector<std::string>& arguments, int default_nproc)
      : arguments_(arguments), default_nproc_(default_nproc) {}

  LaunchCommand parse() {
    while (at_ < arguments_.size() && arguments_[at_].rfind("-", 0) == 0) {
      if (arguments_[at_] == "--") {
        ++at_;
        break;
      }
      take_flag();
    }
    if (command_.wants_help || command_.is_node) return command_;
    take_program();
    check();
    problems_.throw_if_any();
    return command_;
  }

 private:
  void take_flag() {
    std::string word = arguments_[at_++];
    std::optional<std::string> value;
    const std::size_t equals = word.find('=');
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
      word.resize(equals);
    }
    const std::string name =
        canonical(word.substr(std::min(word.size(), word.find_first_not_of('-'))));
    const LaunchFlag* flag = find_launch_flag(name);
    if (flag == nullptr) {
      report_unknown(name, problems_);
      skip_value();
      return;
    }
    const bool takes_value = flag->value[0] != '\0';
    if (takes_value && !value) {
      const bool may_be_flag = flag->id == FlagId::launcher_args;  // its value is flags
      if (at_ == arguments_.size() || (!may_be_flag && arguments_[at_].rfind("--", 0) == 0)) {
        problems_.add(kPlace, "--" + name + " has no value");
        return;
      }
      value = arguments_[at_++];
    }
    const std::string suffix = takes_value ? "=" + *value : "";
    if (flag->for_torchrun) {
      command_.torchrun_flags.push_back("--" + flag->names.back() + suffix);
    } else if (flag->id != FlagId::ignored && flag->id != FlagId::help) {
      not_for_torchrun_ = name;
    }
    if (is_for_each_machine(flag->id)) {
      command_.node_flags.push_back("--" + flag->names.front() + suffix);
    }
    set_rank_flag(flag->id, name, value.value_or(""));
    set_machine_flag(flag->id, name, value.value_or(""));
  }

  /// An unknown flag's value is not the program, unless it is the last word.
  void skip_value() {
    const bool more = at_ + 1 < arguments_.size();
    if (more && arguments_[at_].rfind("-", 0) != 0) ++at_;
  }

  static bool is_for_each_machine(FlagId id) {
    switch (id) {
      case FlagId::grace:
      case FlagId::log_dir:
      case FlagId::rank_log:
      case FlagId::bind_cores:
      case FlagId::bind_list:
      case FlagId::affinity:
      case FlagId::save_pid:
      case FlagId::log_level:
      case FlagId::quiet:
      case FlagId::module:
      case FlagId::no_python:
      case FlagId::pass_local_rank:
      case FlagId::no_local_rank:
        return true;
      default:
        return false;
    }
  }

  void set_rank_flag(FlagId id, const std::string& name, const std::string& value) {
    LaunchOptions& options = command_.options;
    MachineFlags& machines = command_.machines;
    switch (id) {
      case FlagId::nproc:
        machines.nproc_given = value != "auto" && value != "gpu";
        if (machines.nproc_given) options.nproc = number(name, value, 1, kMostRanks);
        break;
      case FlagId::nnodes:
        machines.nnodes_given = true;
        if (value.find(':') != std::string::npos) {
          command_.wants_torchrun = true;
        } else {
          options.nnodes = number(name, value, 1, kMostRanks);
        }
        break;
      case FlagId::node_rank:
        machines.node_rank_given = true;
        options.node_rank = number(name, value, 0, kMostRanks - 1);
        break;
      case FlagId::master_addr:
        options.master_addr = value;
        machines.address_given = true;
        if (value.empty()) problems_.add(kPlace, "--master_addr is empty");
        break;
      case FlagId::master_port:
        options.master_port = number(name, value, 1, 65535);
        break;
      case FlagId::rank_log:
        options.log_stamp = start_time();
        [[fallthrough]];
      case FlagId::log_dir:
        options.log_dir = value;
        break;
      case FlagId::grace:
        options.stop_grace = std::chrono::seconds(number(name, value, 0, 86'400));
        break;
      case FlagId::bind_cores:
        command_.bind_cores = true;
        break;
      case FlagId::bind_list:
        set_core_list(value);
        break;
      case FlagId::affinity:
        command_.affinity = choice(name, value, {"auto", "off"}) == "auto";
        break;
      case FlagId::save_pid:
        command_.save_pid = true;
        break;
      case FlagId::log_level:
        command_.log_level = choice(name, value, {"debug", "info", "warning", "error", "critical"});
        break;
      case FlagId::quiet:
        command_.log_level = "error";
        break;
      case FlagId::help:
        command_.wants_help = true;
        break;
      default:
        break;
    }
  }

  void set_machine_flag(FlagId id, const std::string& name, const std::string& value) {
    MachineFlags& machines = command_.machines;
    switch (id) {
      case FlagId::hostfile:
        machines.hostfile = value;
        if (value.empty()) problems_.add(kPlace, "--hostfile is empty");
        break;
      case FlagId::include:
        machines.include = value;
        break;
      case FlagId::exclude:
        machines.exclude = value;
        break;
      case FlagId::launcher:
        machines.launcher =
            choice(name, value == "pdsh" ? "ssh" : value, {"ssh", "openmpi", "slurm"});
        break;
      case FlagId::launcher_args:
        set_launcher_args(value);
        break;
      case FlagId::no_ssh:
        machines.no_ssh = true;
        break;
      case FlagId::ssh_port:
        machines.ssh_port = number(name, value, 1, 65535);
        break;
      case FlagId::connect_timeout:
        machines.connect_timeout = std::chrono::seconds(number(name, value, 1, 3600));
        break;
      case FlagId::force_multi:
        machines.force_multi = true;
        break;
      case FlagId::module:
        command_.program.module = true;
        break;
      case FlagId::no_python:
        command_.program.no_python = true;
        break;
      case FlagId::pass_local_rank:
        command_.program.pass_local_rank = true;
        break;
      case FlagId::no_local_rank:
        command_.program.pass_local_rank = false;
        break;
      case FlagId::node_stdin:
        command_.is_node = true;
        break;
      case FlagId::tied_rank:
        command_.is_tied_rank = true;
        break;
      case FlagId::torchrun:
        command_.wants_torchrun = true;
        break;
      default:
        break;
    }
  }

  int number(const std::string& name, const std::string& value, int low, int high) {
    const auto parsed = config::parse_integer(value);
    if (parsed && *parsed >= low && *parsed <= high) return static_cast<int>(*parsed);
    problems_.add(kPlace, "--" + name + ": got '" + shown(value) +
                              "', expected a whole number from " + std::to_string(low) + " to " +
                              std::to_string(high));
    return low;
  }

  std::string choice(const std::string& name, const std::string& value,
                     const std::vector<std::string>& allowed) {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
    std::string list;
    for (const std::string& word : allowed) list += (list.empty() ? "" : ", ") + word;
    const bool other =
        name == "launcher" && (value == "mpich" || value == "mvapich" || value == "impi");
    problems_.add(
        kPlace, "--" + name + ": got '" + shown(value) + "', expected one of " + list,
        other ? "Start the ranks with that runner itself: zt train finds its variables" : "");
    return allowed.front();
  }

  void set_core_list(const std::string& value) {
    const auto cores = parse_cpu_list(value);
    if (!cores) {
      problems_.add(kPlace, "--bind_core_list: got '" + shown(value) +
                                "', expected numbers and ranges such as 0-27,32-59");
      return;
    }
    command_.bind_list = *cores;
  }

  void set_launcher_args(const std::string& value) {
    try {
      command_.machines.launcher_args = split_words(value);
    } catch (const ConfigError&) {
      problems_.add(kPlace, "--launcher_args: a quote does not end in '" + shown(value) + "'");
    }
  }

  void take_program() {
    if (at_ == arguments_.size()) {
      problems_.add(kPlace, "there is no program to run",
                    "Give it after the flags, such as -- zt train --model_name_or_path ...");
      return;
    }
    LaunchOptions& options = command_.options;
    options.program = options.executable = arguments_[at_];
    options.arguments.assign(arguments_.begin() + static_cast<std::ptrdiff_t>(at_) + 1,
                             arguments_.end());
  }

  void check() {
    MachineFlags& machines = command_.machines;
    const bool each_starts_its_own =
        machines.no_ssh || machines.node_rank_given || machines.address_given;
    if (machines.hostfile.empty() && !each_starts_its_own && !command_.wants_torchrun &&
        std::filesystem::exists(kDefaultHostfile)) {
      machines.hostfile = kDefaultHostfile;
    }
    if (command_.wants_torchrun && !not_for_torchrun_.empty()) {
      problems_.add(kPlace, "--" + not_for_torchrun_ + " and torchrun's flags do not go together",
                    "Leave one of them out");
    }
    if (!machines.include.empty() && !machines.exclude.empty()) {
      problems_.add(kPlace, "--include and --exclude are both given", "Give one of them");
    }
    if (!(machines.include.empty() && machines.exclude.empty()) &&
        (machines.nproc_given || machines.nnodes_given)) {
      problems_.add(kPlace, "--include and --exclude do not go with --num_gpus and --num_nodes",
                    "Name the slots in the filter");
    }
    if (command_.program.module && command_.program.no_python) {
      problems_.add(kPlace, "--module and --no_python are both given", "Give one of them");
    }
    if (!command_.wants_torchrun && machines.hostfile.empty() && machines.launcher == "ssh") {
      check_machines_without_hostfile();
    }
  }

  void check_machines_without_hostfile() {
    LaunchOptions& options = command_.options;
    if (!command_.machines.nproc_given) options.nproc = std::max(1, default_nproc_);
    if (options.node_rank >= options.nnodes) {
      problems_.add(kPlace, "--node_rank " + std::to_string(options.node_rank) +
                                " is not below --nnodes " + std::to_string(options.nnodes));
    }
    if (options.nnodes == 1) return;
    if (!command_.machines.address_given) {
      problems_.add(kPlace, "--master_addr is missing: there are several machines",
                    "Give the address of machine 0, the same on all of them, or a --hostfile");
    }
    if (options.master_port == 0) options.master_port = kDefaultPort;
  }

  const std::vector<std::string>& arguments_;
  const int default_nproc_;
  std::size_t at_ = 0;
  std::string not_for_torchrun_;  ///< a flag of ours that torchrun lacks
  LaunchCommand command_;
  config::Problems problems_{"launch.flags"};
};

}  // namespace

LaunchCommand parse_launch(const std::vector<std::string>& arguments, int default_nproc) {
  return Parser(arguments, default_nproc).parse();
}

}  // namespace zt::launch
