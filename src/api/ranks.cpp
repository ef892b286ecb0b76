#include "zerotrain/ranks.h"

#include <chrono>

#include "comm/inproc/inproc_communicator.h"

namespace zt {

Ranks Ranks::one() {
  auto communicators = comm::make_inproc(1, std::chrono::seconds(1));
  auto* communicator = communicators.front().get();
  return {std::move(communicators.front()), communicator};
}

Ranks Ranks::of(comm::Communicator& communicator) { return {nullptr, &communicator}; }

Ranks::Ranks(std::unique_ptr<comm::Communicator> owned, comm::Communicator* communicator)
    : owned_(std::move(owned)), communicator_(communicator) {}

Ranks::~Ranks() = default;
Ranks::Ranks(Ranks&&) noexcept = default;
Ranks& Ranks::operator=(Ranks&&) noexcept = default;

}  // namespace zt
