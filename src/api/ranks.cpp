#include "zerotrain/ranks.h"

#include <fmt/format.h>

#include <chrono>

#include "base/error.h"
#include "comm/inproc/inproc_communicator.h"
#include "config/env.h"

namespace zt {
namespace {

/// What the launcher told this process.
RankPlace launched_place(const comm::Communicator& communicator) {
  if (const auto told = config::rank_environment(config::read_environment())) {
    return {told->local_rank, told->local_rank, told->local_world_size};
  }
  if (communicator.device() == Device::cuda && communicator.world() > 1) {
    throw ConfigError(fmt::format(
        "[api.ranks] which GPU is this rank's is not known: got no LOCAL_RANK, expected the one "
        "that torchrun or zt launch sets (rank {} of {}). Start the program with a launcher, or "
        "give Ranks::of a RankPlace.",
        communicator.rank(), communicator.world()));
  }
  return {};
}

}  // namespace

Ranks Ranks::one() {
  auto communicators = comm::make_inproc(1, std::chrono::seconds(1));
  auto* communicator = communicators.front().get();
  return {std::move(communicators.front()), communicator, {}};
}

Ranks Ranks::of(comm::Communicator& communicator) {
  return of(communicator, launched_place(communicator));
}

Ranks Ranks::of(comm::Communicator& communicator, const RankPlace& place) {
  if (place.device_index < 0 || place.local_rank < 0 || place.local_rank >= place.local_world) {
    throw ConfigError(fmt::format(
        "[api.ranks] a rank cannot be at this place: got GPU {}, local rank {} of {}, expected "
        "numbers from 0 and a local rank below local_world (rank {} of {}).",
        place.device_index, place.local_rank, place.local_world, communicator.rank(),
        communicator.world()));
  }
  return {nullptr, &communicator, place};
}

Ranks::Ranks(std::unique_ptr<comm::Communicator> owned, comm::Communicator* communicator,
             const RankPlace& place)
    : owned_(std::move(owned)), communicator_(communicator), place_(place) {}

Ranks::~Ranks() = default;
Ranks::Ranks(Ranks&&) noexcept = default;
Ranks& Ranks::operator=(Ranks&&) noexcept = default;

}  // namespace zt
