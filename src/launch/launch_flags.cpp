#include "launch/launch_flags.h"

#include <algorithm>
#include <optional>

#include "config/problems.h"
#include "config/text_distance.h"
#include "config/text_values.h"

namespace zt::launch {
namespace {

using config::shown;

constexpr int kDefaultPort = 29500;  ///< of torchrun and DeepSpeed
constexpr int kMostRanks = 4096;
constexpr const char* kPlace = "command line";

enum class Id { nproc, nnodes, node_rank, master_addr, master_port, log_dir, grace, help, ignored };

struct LaunchFlag {
  Id id;
  std::vector<std::string> names;  ///< our own first
  bool has_value;
  const char* help;
};

const std::vector<LaunchFlag>& flags() {
  static const std::vector<LaunchFlag> kFlags = {
      {Id::nproc,
       {"nproc", "nproc_per_node", "num_gpus", "num_accelerators", "gpus"},
       true,
       "ranks on each machine; auto (default): one per GPU, or one"},
      {Id::nnodes, {"nnodes", "num_nodes"}, true, "machines (default 1)"},
      {Id::node_rank, {"node_rank"}, true, "this machine among them, from 0 (default 0)"},
      {Id::master_addr,
       {"master_addr"},
       true,
       "address of machine 0 (default 127.0.0.1; required with several machines)"},
      {Id::master_port,
       {"master_port"},
       true,
       "free port of machine 0 (default: any on one machine, 29500 with several)"},
      {Id::log_dir,
       {"log_dir", "enable_each_rank_log"},
       true,
       "folder for rank_<n>.log, one per rank; machine's first rank is shown too"},
      {Id::grace,
       {"grace"},
       true,
       "seconds that ranks have after SIGINT or SIGTERM, for a last checkpoint (default 30)"},
      {Id::help, {"help"}, false, "this text"},
      {Id::ignored, {"no_python", "no_ssh", "standalone", "no_local_rank"}, false, ""},
  };
  return kFlags;
}

/// Flags of other launchers that ask for what this one does not do.
struct Refused {
  const char* name;
  const char* remedy;
};
constexpr Refused kRefused[] = {
    {"hostfile", "Start zt launch on every machine, with its --node_rank"},
    {"include", "Set CUDA_VISIBLE_DEVICES on that machine"},
    {"exclude", "Set CUDA_VISIBLE_DEVICES on that machine"},
    {"module", "Give the program itself, such as python -m name"},
    {"max_restarts", "Start again; training resumes from a checkpoint"},
    {"rdzv_endpoint", "Use --master_addr and --master_port"},
    {"rdzv_backend", "Use --master_addr and --master_port"},
    {"rdzv_id", "Use --master_addr and --master_port"},
    {"elastic_training", "The number of ranks is fixed"},
};

std::string canonical(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

const LaunchFlag* find(const std::string& name) {
  for (const LaunchFlag& flag : flags()) {
    if (std::find(flag.names.begin(), flag.names.end(), name) != flag.names.end()) return &flag;
  }
  return nullptr;
}

void report_unknown(const std::string& name, config::Problems& problems) {
  for (const Refused& refused : kRefused) {
    if (name == refused.name) {
      problems.add(kPlace, "--" + name + " is not built", refused.remedy);
      return;
    }
  }
  std::vector<std::string> known;
  for (const LaunchFlag& flag : flags()) {
    known.insert(known.end(), flag.names.begin(), flag.names.end());
  }
  problems.add(kPlace, "unknown flag --" + shown(name),
               "Did you mean --" + config::nearest(name, known).name +
                   "? The program's own flags follow its name");
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
    if (command_.wants_help) return command_;
    take_program();
    check();
    problems_.throw_if_any();
    return command_;
  }

 private:
  void take_flag() {
    std::string word = arguments_[at_++];
    if (word == "-h") word = "--help";
    std::optional<std::string> value;
    const std::size_t equals = word.find('=');
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
      word.resize(equals);
    }
    const std::string name =
        canonical(word.substr(std::min(word.size(), word.find_first_not_of('-'))));
    const LaunchFlag* flag = find(name);
    if (flag == nullptr) {
      report_unknown(name, problems_);
      skip_value();
      return;
    }
    if (flag->has_value && !value) {
      if (at_ == arguments_.size() || arguments_[at_].rfind("--", 0) == 0) {
        problems_.add(kPlace, "--" + name + " has no value");
        return;
      }
      value = arguments_[at_++];
    }
    set(*flag, name, value.value_or(""));
  }

  /// An unknown flag's value is not the program, unless it is the last word.
  void skip_value() {
    const bool more = at_ + 1 < arguments_.size();
    if (more && arguments_[at_].rfind("-", 0) != 0) ++at_;
  }

  void set(const LaunchFlag& flag, const std::string& name, const std::string& value) {
    LaunchOptions& options = command_.options;
    switch (flag.id) {
      case Id::nproc:
        nproc_given_ = value != "auto" && value != "gpu";
        if (nproc_given_) options.nproc = number(name, value, 1, kMostRanks);
        return;
      case Id::nnodes:
        options.nnodes = number(name, value, 1, kMostRanks);
        return;
      case Id::node_rank:
        options.node_rank = number(name, value, 0, kMostRanks - 1);
        return;
      case Id::master_addr:
        options.master_addr = value;
        address_given_ = true;
        if (value.empty()) problems_.add(kPlace, "--master_addr is empty");
        return;
      case Id::master_port:
        options.master_port = number(name, value, 1, 65535);
        return;
      case Id::log_dir:
        options.log_dir = value;
        return;
      case Id::grace:
        options.stop_grace = std::chrono::seconds(number(name, value, 0, 86'400));
        return;
      case Id::help:
        command_.wants_help = true;
        return;
      case Id::ignored:
        return;
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
    LaunchOptions& options = command_.options;
    if (!nproc_given_) options.nproc = std::max(1, default_nproc_);
    if (options.node_rank >= options.nnodes) {
      problems_.add(kPlace, "--node_rank " + std::to_string(options.node_rank) +
                                " is not below --nnodes " + std::to_string(options.nnodes));
    }
    if (options.nnodes == 1) return;
    if (!address_given_) {
      problems_.add(kPlace, "--master_addr is missing: there are several machines",
                    "Give the address of machine 0, the same on all of them");
    }
    if (options.master_port == 0) options.master_port = kDefaultPort;
  }

  const std::vector<std::string>& arguments_;
  const int default_nproc_;
  std::size_t at_ = 0;
  bool nproc_given_ = false, address_given_ = false;
  LaunchCommand command_;
  config::Problems problems_{"launch.flags"};
};

}  // namespace

LaunchCommand parse_launch(const std::vector<std::string>& arguments, int default_nproc) {
  return Parser(arguments, default_nproc).parse();
}

std::string launch_help() {
  std::string text =
      "usage: zt launch [flags] -- program arguments...\n"
      "Starts the ranks of this machine and watches over them; docs/launch.md says more.\n\n"
      "  zt launch --nproc 2 -- zt train --model_name_or_path ...\n"
      "  zt launch --nproc 8 --nnodes 2 --node_rank 0 --master_addr 10.0.0.1 -- zt train ...\n\n";
  for (const LaunchFlag& flag : flags()) {
    if (flag.id == Id::ignored) continue;
    std::string line = "  --" + flag.names.front();
    line.resize(std::max<std::size_t>(line.size() + 2, 18), ' ');
    text += line + flag.help;
    for (std::size_t i = 1; i < flag.names.size(); ++i) {
      text += (i == 1 ? "; also --" : ", --") + flag.names[i];
    }
    text += "\n";
  }
  return text;
}

}  // namespace zt::launch
