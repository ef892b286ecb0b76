#include "config/rank_discovery.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "config/problems.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

constexpr int kMostRanks = 1 << 20;
constexpr int kFirstJobPort = 20'000, kNumJobPorts = 10'000;

/// How a launcher names a task's place.
struct Names {
  const char* launcher;
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;         ///< may be missing: then the list below, or one machine
  std::vector<const char*> jobs;  ///< what tells apart the jobs of one machine; the first set one
};

const std::vector<Names>& launchers() {
  static const std::vector<Names> kLaunchers = {
      {"slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "", {}},
      {"openmpi",
       "OMPI_COMM_WORLD_RANK",
       "OMPI_COMM_WORLD_SIZE",
       "OMPI_COMM_WORLD_LOCAL_RANK",
       "OMPI_COMM_WORLD_LOCAL_SIZE",
       {"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"}},
      {"mvapich",
       "MV2_COMM_WORLD_RANK",
       "MV2_COMM_WORLD_SIZE",
       "MV2_COMM_WORLD_LOCAL_RANK",
       "MV2_COMM_WORLD_LOCAL_SIZE",
       {}},
      {"pmi", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", {"PMI_JOBID"}},
  };
  return kLaunchers;
}

std::string value_of(const Variables& variables, const std::string& name) {
  const auto found = variables.find(name);
  return found == variables.end() ? std::string() : found->second;
}

int number_of(const Variables& variables, const std::string& name, int low, int high,
              Problems& problems) {
  const std::string text = value_of(variables, name);
  const auto value = parse_integer(text);
  if (value && *value >= low && *value <= high) return static_cast<int>(*value);
  problems.add("environment", name + ": got '" + shown(text) + "', expected a whole number from " +
                                  std::to_string(low) + " to " + std::to_string(high));
  return low;
}

/// Tasks of the node with this index: `2(x3),1` is 2 2 2 1. Nothing when it is not in the list.
std::optional<int> tasks_of_node(const std::string& text, std::int64_t node) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    const std::size_t times = part.find("(x");
    const auto tasks = parse_integer(part.substr(0, times));
    const auto nodes = times == std::string::npos
                           ? std::optional<std::int64_t>(1)
                           : parse_integer(part.substr(times + 2, part.size() - times - 3));
    if (!tasks || !nodes || *tasks < 1 || *tasks > kMostRanks) return std::nullopt;
    if (node < *nodes) return static_cast<int>(*tasks);
    node -= *nodes;
    at = comma + 1;
  }
  return std::nullopt;
}

void read_slurm(const Variables& variables, RankEnvironment& env, Problems& problems) {
  const std::string list = value_of(variables, "SLURM_STEP_NODELIST");
  const auto hosts = expand_nodelist(list);
  const auto tasks = tasks_of_node(value_of(variables, "SLURM_STEP_TASKS_PER_NODE"),
                                   number_of(variables, "SLURM_NODEID", 0, kMostRanks, problems));
  if (!hosts) problems.add("environment", "SLURM_STEP_NODELIST '" + shown(list) + "' is no list");
  if (!tasks) problems.add("environment", "SLURM_STEP_TASKS_PER_NODE does not name this node");
  if (!hosts || !tasks) return;
  env.local_world_size = *tasks;
  const auto job = parse_integer(value_of(variables, "SLURM_JOB_ID")).value_or(0);
  const auto step = parse_integer(value_of(variables, "SLURM_STEP_ID")).value_or(0);
  if (hosts->size() == 1) {
    env.job = "slurm/" + std::to_string(job) + "." + std::to_string(step);
    return;
  }
  env.master_addr = hosts->front();
  env.master_port = kFirstJobPort + static_cast<int>((job + 97 * step) % kNumJobPorts);
}

void read_mpi(const Names& names, const Variables& variables, RankEnvironment& env,
              Problems& problems) {
  env.local_world_size = variables.count(names.local_size) > 0
                             ? number_of(variables, names.local_size, 1, kMostRanks, problems)
                             : env.world_size;
  if (env.local_world_size == env.world_size) {
    env.job = std::string(names.launcher) + "/parent " + std::to_string(getppid());
    for (const char* name : names.jobs) {
      if (variables.count(name) == 0) continue;
      env.job = std::string(names.launcher) + "/" + value_of(variables, name);
      break;
    }
  } else if (variables.count("MASTER_ADDR") == 0 || variables.count("MASTER_PORT") == 0) {
    problems.add("environment",
                 std::string(names.rank) +
                     " says that an MPI runner started this rank on one of several machines, but "
                     "MASTER_ADDR and MASTER_PORT are not set",
                 "Pass them on (mpirun -x MASTER_ADDR=<rank 0's machine> -x MASTER_PORT=29500), or "
                 "start with zt launch --launcher openmpi");
  }
}

void read_master(const Variables& variables, RankEnvironment& env, Problems& problems) {
  if (variables.count("MASTER_ADDR") > 0) env.master_addr = value_of(variables, "MASTER_ADDR");
  if (variables.count("MASTER_PORT") > 0) {
    env.master_port = number_of(variables, "MASTER_PORT", 1, 65'535, problems);
    env.job.clear();
  }
}

}  // namespace

std::optional<RankEnvironment> discover_rank(const Variables& variables) {
  for (const Names& names : launchers()) {
    if (variables.count(names.rank) == 0 || variables.count(names.size) == 0) continue;
    Problems problems("config.env");
    RankEnvironment env;
    env.from_runner = true;
    env.world_size = number_of(variables, names.size, 1, kMostRanks, problems);
    if (env.world_size == 1 && problems.all().empty()) continue;
    env.rank = number_of(variables, names.rank, 0, env.world_size - 1, problems);
    env.local_rank = variables.count(names.local_rank) > 0
                         ? number_of(variables, names.local_rank, 0, env.world_size - 1, problems)
                         : env.rank;
    if (std::string(names.launcher) == "slurm") {
      read_slurm(variables, env, problems);
    } else {
      read_mpi(names, variables, env, problems);
    }
    read_master(variables, env, problems);
    problems.throw_if_any();
    return env;
  }
  return std::nullopt;
}

}  // namespace zt::config
