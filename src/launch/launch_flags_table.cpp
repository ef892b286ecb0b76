#include "launch/launch_flags_table.h"

#include <algorithm>

#include "launch/launch_flags.h"

namespace zt::launch {
namespace {

using Id = FlagId;

std::vector<LaunchFlag> rank_flags() {
  return {
      {Id::nproc,
       {"nproc", "num_gpus", "num_accelerators", "gpus", "nproc_per_node"},
       "N",
       "ranks on each machine; auto (default): one per GPU, or one",
       true},
      {Id::nnodes,
       {"num_nodes", "nnodes"},
       "N",
       "machines (default 1); the first N of a hostfile",
       true},
      {Id::node_rank,
       {"node_rank"},
       "I",
       "this machine among them, when each starts its own",
       true},
      {Id::master_addr,
       {"master_addr"},
       "HOST",
       "address of machine 0 (default: 127.0.0.1, or found over ssh)",
       true},
      {Id::master_port,
       {"master_port"},
       "PORT",
       "free port of machine 0 (default: any; 29500 when each machine starts its own)",
       true},
      {Id::grace,
       {"grace"},
       "S",
       "seconds that ranks have after SIGINT or SIGTERM, for a last checkpoint (default 30)"},
      {Id::log_dir,
       {"log_dir"},
       "DIR",
       "folder for rank_<n>.log, one per rank; a machine's first rank is shown too",
       true},
      {Id::rank_log,
       {"enable_each_rank_log"},
       "DIR",
       "the same with the start time in the names: <YYYYmmddHHMMSS>_rank<n>.log"},
      {Id::save_pid,
       {"save_pid"},
       "",
       "this launcher's pid into <tmp>/<pid>.deepspeed until it ends"},
      {Id::bind_cores,
       {"bind_cores_to_rank"},
       "",
       "split the physical cores among the ranks of a machine; OMP_NUM_THREADS follows"},
      {Id::bind_list, {"bind_core_list"}, "LIST", "split these cores instead, such as 0-27,32-59"},
      {Id::affinity,
       {"affinity"},
       "auto|off",
       "auto (default): ranks stay on their GPUs' NUMA nodes when these are all in use"},
      {Id::log_level,
       {"log_level"},
       "LEVEL",
       "of the launcher: debug, info (default), warning, error"},
      {Id::quiet, {"quiet", "q"}, "", "the launcher reports errors only"},
  };
}

std::vector<LaunchFlag> machine_flags() {
  return {
      {Id::hostfile,
       {"hostfile", "H"},
       "FILE",
       "machines, as lines `<host> slots=<n>` (default: /job/hostfile when it is there)"},
      {Id::include,
       {"include", "i"},
       "LIST",
       "only these hosts and slots: HOST[:SLOT,...] joined by @, such as n1@n2:0,2"},
      {Id::exclude, {"exclude", "e"}, "LIST", "all but these"},
      {Id::launcher,
       {"launcher"},
       "NAME",
       "what starts the machines: ssh (default), openmpi or slurm"},
      {Id::launcher_args, {"launcher_args"}, "TEXT", "further flags of ssh, mpirun or srun"},
      {Id::ssh_port, {"ssh_port"}, "PORT", "of the machines' ssh servers"},
      {Id::connect_timeout,
       {"connect_timeout"},
       "S",
       "seconds within which every machine must answer (default 30)"},
      {Id::force_multi, {"force_multi"}, "", "use the launcher for a single machine too"},
      {Id::no_ssh, {"no_ssh"}, "", "every machine starts its own launcher, with its --node_rank"},
  };
}

std::vector<LaunchFlag> program_flags() {
  return {
      {Id::module, {"module", "m"}, "", "the program is a Python module", true},
      {Id::no_python, {"no_python"}, "", "run a .py file itself, without python3", true},
      {Id::pass_local_rank,
       {"pass_local_rank"},
       "",
       "--local_rank=<n> is the first argument of Python programs, as deepspeed does"},
      {Id::no_local_rank, {"no_local_rank"}, "", "not so (default)"},
      {Id::no_ssh_check, {"no_ssh_check"}, "", ""},
      {Id::node_stdin, {"node_stdin"}, "", ""},
      {Id::tied_rank, {"tied_rank"}, "", ""},
      {Id::torchrun, {"rdzv_backend"}, "NAME", "", true},
      {Id::torchrun, {"rdzv_endpoint"}, "HOST:PORT", "", true},
      {Id::torchrun, {"rdzv_id"}, "ID", "", true},
      {Id::torchrun, {"rdzv_conf"}, "LIST", "", true},
      {Id::torchrun, {"max_restarts"}, "N", "", true},
      {Id::torchrun, {"monitor_interval"}, "S", "", true},
      {Id::torchrun, {"local_addr"}, "HOST", "", true},
      {Id::torchrun, {"role"}, "NAME", "", true},
      {Id::ignored, {"standalone"}, "", ""},
      {Id::help, {"help", "h"}, "", "this text"},
  };
}

/// Flags of other launchers that ask for what this one does not do.
struct Refused {
  const char* name;
  const char* remedy;
};
constexpr Refused kRefused[] = {
    {"elastic_training", "The number of ranks is fixed; use torchrun for restarts"},
    {"min_elastic_nodes", "The number of machines is fixed"},
    {"max_elastic_nodes", "The number of machines is fixed"},
    {"autotuning", "zt plan finds the settings without a run"},
    {"venv_script", "Give PATH and the like in .deepspeed_env"},
    {"start_method", "Ranks are programs of their own"},
    {"redirects", "Use --log_dir"},
    {"tee", "Use --log_dir"},
};

std::string row(const LaunchFlag& flag) {
  std::string line = "  --" + flag.names.front();
  if (flag.value[0] != '\0') line += std::string(" ") + flag.value;
  line.resize(std::max<std::size_t>(line.size() + 2, 28), ' ');
  line += flag.help;
  for (std::size_t i = 1; i < flag.names.size(); ++i) {
    const std::string& name = flag.names[i];
    line += (i == 1 ? "; also -" : ", -") + (name.size() == 1 ? name : "-" + name);
  }
  return line + "\n";
}

}  // namespace

const std::vector<LaunchFlag>& launch_flags() {
  static const std::vector<LaunchFlag> kFlags = [] {
    std::vector<LaunchFlag> all = rank_flags();
    for (const auto& more : {machine_flags(), program_flags()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }();
  return kFlags;
}

const LaunchFlag* find_launch_flag(const std::string& name) {
  for (const LaunchFlag& flag : launch_flags()) {
    if (std::find(flag.names.begin(), flag.names.end(), name) != flag.names.end()) return &flag;
  }
  return nullptr;
}

std::string refusal_of(const std::string& name) {
  for (const Refused& refused : kRefused) {
    if (name == refused.name) return refused.remedy;
  }
  return "";
}

std::string launch_help() {
  std::string text =
      "usage: zt launch [flags] [--] program arguments...\n"
      "Starts the ranks of one or several machines and watches over them; docs/launch.md says "
      "more.\n\n"
      "  zt launch --nproc 2 -- zt train --model_name_or_path ...\n"
      "  zt launch --hostfile hosts --include n1@n2:0,1 -- zt train ...\n"
      "  zt launch --nproc 8 --nnodes 2 --node_rank 0 --master_addr 10.0.0.1 -- zt train ...\n";
  for (const auto& [title, rows] :
       {std::pair("Ranks", rank_flags()), std::pair("Several machines", machine_flags()),
        std::pair("Programs", program_flags())}) {
    text += std::string("\n") + title + "\n";
    for (const LaunchFlag& flag : rows) {
      if (flag.help[0] != '\0') text += row(flag);
    }
  }
  return text +
         "\ntorchrun's --rdzv_backend, --rdzv_endpoint, --rdzv_id, --rdzv_conf, --max_restarts, "
         "--monitor_interval,\n--local_addr, --role and --nnodes MIN:MAX start the torchrun that "
         "is "
         "installed.\n";
}

}  // namespace zt::launch
