#include "config/env.h"

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/problems.h"
#include "config/rank_discovery.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

constexpr const char* kNames[] = {
    "RANK",        "LOCAL_RANK",  "WORLD_SIZE",       "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", kTensorboardDirName};

constexpr const char* kPrefixes[] = {
    "ZT_",  "TORCHELASTIC_", "SLURM_", "OMPI_COMM_WORLD_", "OMPI_MCA_ess_base_jobid",
    "PMI_", "PMIX_",         "MPI_",   "MV2_COMM_WORLD_"};

bool is_wanted(std::string_view name) {
  for (const char* prefix : kPrefixes) {
    if (name.rfind(prefix, 0) == 0) return true;
  }
  for (const char* wanted : kNames) {
    if (name == wanted) return true;
  }
  return false;
}

/// Reads one whole number within [low, high]; reports what is wrong and returns `fallback`.
int read_number(const Variables& variables, const std::string& name, int low, int high,
                std::optional<int> fallback, Problems& problems) {
  const auto found = variables.find(name);
  if (found == variables.end()) {
    if (!fallback) {
      problems.add("environment", name + " is not set, but the other rank variables are", "Set it");
    }
    return fallback.value_or(low);
  }
  const std::optional<std::int64_t> value = parse_integer(found->second);
  if (!value || *value < low || *value > high) {
    problems.add("environment", name + ": got '" + found->second +
                                    "', expected a whole number from " + std::to_string(low) +
                                    " to " + std::to_string(high));
    return fallback.value_or(low);
  }
  return static_cast<int>(*value);
}

}  // namespace

Variables all_variables() {
  Variables variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

Variables read_environment() {
  Variables wanted;
  for (const auto& [name, value] : all_variables()) {
    if (is_wanted(name)) wanted.emplace(name, value);
  }
  return wanted;
}

std::optional<RankEnvironment> rank_environment(const Variables& variables) {
  if (variables.count("RANK") == 0 && variables.count("WORLD_SIZE") == 0) {
    return discover_rank(variables);
  }
  constexpr int kMostRanks = 1 << 20;
  Problems problems("config.env");
  RankEnvironment env;
  env.world_size = read_number(variables, "WORLD_SIZE", 1, kMostRanks, std::nullopt, problems);
  env.rank = read_number(variables, "RANK", 0, kMostRanks - 1, std::nullopt, problems);
  env.local_world_size =
      read_number(variables, "LOCAL_WORLD_SIZE", 1, kMostRanks, env.world_size, problems);
  env.local_rank = read_number(variables, "LOCAL_RANK", 0, kMostRanks - 1, env.rank, problems);
  env.master_port = read_number(variables, "MASTER_PORT", 1, 65535, env.master_port, problems);
  if (variables.count("ZT_LISTEN_FD") > 0) {
    env.listen_fd = read_number(variables, "ZT_LISTEN_FD", 0, kMostRanks, 0, problems);
  }
  const auto agent_store = variables.find("TORCHELASTIC_USE_AGENT_STORE");
  env.launcher_hosts_store = agent_store != variables.end() && agent_store->second == "True";
  env.from_runner = variables.count("TORCHELASTIC_RESTART_COUNT") > 0;
  env.restart_count =
      read_number(variables, "TORCHELASTIC_RESTART_COUNT", 0, kMostRanks, 0, problems);
  const auto address = variables.find("MASTER_ADDR");
  if (address != variables.end()) env.master_addr = address->second;
  if (env.master_addr.empty()) {
    problems.add("environment", "MASTER_ADDR is empty, expected a host name or an address");
  }
  problems.throw_if_any();
  if (env.rank >= env.world_size) {
    problems.add("environment", "RANK " + std::to_string(env.rank) + " is not below WORLD_SIZE " +
                                    std::to_string(env.world_size));
  }
  if (env.local_world_size > env.world_size) {
    problems.add("environment", "LOCAL_WORLD_SIZE " + std::to_string(env.local_world_size) +
                                    " is above WORLD_SIZE " + std::to_string(env.world_size));
  }
  if (env.local_rank >= env.local_world_size) {
    problems.add("environment", "LOCAL_RANK " + std::to_string(env.local_rank) +
                                    " is not below LOCAL_WORLD_SIZE " +
                                    std::to_string(env.local_world_size));
  }
  problems.throw_if_any();
  return env;
}

}  // namespace zt::config
