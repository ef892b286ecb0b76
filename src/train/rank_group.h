#pragma once

#include <functional>

#include "comm/rendezvous.h"
#include "config/config.h"
#include "train/run.h"

namespace zt::train {

/// What the launcher told this rank, as `rendezvous` takes it, with the default limits.
comm::RendezvousOptions rendezvous_options(const config::RankEnvironment& rank);

/// Meets the other ranks, runs `body` as comm::run_part does and leaves in order. What `body` holds
/// is gone before its error is told: it calls run_part itself where that takes long.
void with_rank_group(const RunInput& input, const config::Config& config,
                     const std::function<void(comm::RankGroup&)>& body);

}  // namespace zt::train
