#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/env.h"

namespace zt::config {

/// The rank variables of a process that Slurm's `srun` or an MPI runner started with several tasks
/// and without a wrapper: SLURM_PROCID, SLURM_LOCALID and the step's size and nodes;
/// OMPI_COMM_WORLD_*; MV2_COMM_WORLD_*; PMI_RANK and PMI_SIZE with MPI_LOCALRANKID. Nothing for one
/// task, and in a Slurm batch script, which is no task of a step. MASTER_ADDR and MASTER_PORT win
/// where they are set; otherwise one machine meets over `job` and several of Slurm on the first
/// host of the step, at a port that follows from job and step (20000 to 29999).
/// Errors: ConfigError for numbers that make no sense, and for several machines of an MPI runner
/// without MASTER_ADDR and MASTER_PORT.
[[nodiscard]] std::optional<RankEnvironment> discover_rank(const Variables& variables);

/// Slurm's short form of host names, in its order: `n[001-003,7],m` is n001 n002 n003 n7 m.
/// Nothing when the text is no such list or names more than 100000 hosts.
[[nodiscard]] std::optional<std::vector<std::string>> expand_nodelist(const std::string& text);

}  // namespace zt::config
