#pragma once

#include <map>
#include <string>

#include "checkpoint/exchange.h"
#include "config/config.h"
#include "data/dataset.h"

namespace zt::train {

/// What has to be the same on every rank, by the name that an error shows.
using RunFacts = std::map<std::string, std::string>;

/// Of the configuration, by field: all but what machines may have of their own (paths, log levels,
/// numbers of processes, threads of the disk).
[[nodiscard]] RunFacts facts_of(const config::Config& config);
/// Of the data: tokens and the blocks they are cut into.
[[nodiscard]] RunFacts facts_of(const data::Datasets& sets);

/// Machines that are started by hand may be given other flags, or other copies of a file: each rank
/// would train its shard in its own way, and nothing would fail. Collective.
/// Errors: ConfigError on all ranks naming the first rank that differs from rank 0, and in what.
void require_same(const RunFacts& mine, const checkpoint::RankExchange& exchange);

}  // namespace zt::train
