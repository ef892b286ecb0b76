#pragma once

#include <map>
#include <optional>
#include <string>

namespace zt::config {

/// What a launcher (torchrun, Slurm wrappers, `zt launch`) tells one process, validated.
struct RankEnvironment {
  int rank = 0;
  int local_rank = 0;
  int world_size = 1;
  int local_world_size = 1;
  std::string master_addr = "127.0.0.1";
  int master_port = 29500;
  std::optional<int> listen_fd;       ///< ZT_LISTEN_FD: rank 0's bound socket from `zt launch`
  bool launcher_hosts_store = false;  ///< TORCHELASTIC_USE_AGENT_STORE: torchrun hosts the store
  int restart_count = 0;              ///< TORCHELASTIC_RESTART_COUNT
  /// Not empty: all ranks are on this machine, started by Slurm or MPI, and none was told a port.
  /// Names the job: rank 0 chooses a port and the others ask for it (launch/job_port.h).
  std::string job;
  bool from_runner = false;  ///< Slurm, MPI or torchrun started this: it ends with its parent
};

/// Names and values of environment variables; tests pass their own.
using Variables = std::map<std::string, std::string>;

/// Where Hugging Face's Trainer (v5) writes event files.
inline constexpr const char* kTensorboardDirName = "TENSORBOARD_LOGGING_DIR";

/// Minutes that one of DeepSpeed's collectives may take.
inline constexpr const char* kTimeoutName = "DEEPSPEED_TIMEOUT";

/// Copies the variables this program reads (RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE,
/// MASTER_ADDR, MASTER_PORT, TENSORBOARD_LOGGING_DIR, torchrun's TORCHELASTIC_*), those of Slurm
/// and MPI runners, and every `ZT_*` variable. The only place that reads the environment.
[[nodiscard]] Variables read_environment();

/// Every variable of this process: for `${NAME}` in configuration files (`Facts::environment`), and
/// for a launcher that passes them on.
[[nodiscard]] Variables all_variables();

/// The rank variables, or nothing when the process was not started by a launcher. Without RANK and
/// WORLD_SIZE those of Slurm and MPI count (rank_discovery.h). LOCAL_RANK defaults to RANK and
/// LOCAL_WORLD_SIZE to WORLD_SIZE (one machine). Errors: ConfigError naming every variable that is
/// missing, not a number or out of range.
[[nodiscard]] std::optional<RankEnvironment> rank_environment(const Variables& variables);

}  // namespace zt::config
