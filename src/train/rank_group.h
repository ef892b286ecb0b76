#pragma once

#include <functional>

#include "comm/rendezvous.h"
#include "config/config.h"
#include "train/run.h"

namespace zt::train {

/// What the launcher told this rank, as `rendezvous` takes it, with the default limits.
comm::RendezvousOptions rendezvous_options(const config::RankEnvironment& rank);

/// Meets the other ranks, runs `body` and leaves in order. An error of `body` is told to the others
/// before it leaves.
void with_rank_group(const RunInput& input, const config::Config& config,
                     const std::function<void(comm::RankGroup&)>& body);

}  // namespace zt::train
