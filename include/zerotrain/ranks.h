#pragma once

#include <memory>

#include "comm/communicator.h"

namespace zt {

/// The processes of a run and this one's place among them.
class Ranks {
 public:
  /// One CPU rank: this process alone.
  [[nodiscard]] static Ranks one();
  /// Ranks that somebody else connected, one per process or thread. `communicator` outlives it.
  [[nodiscard]] static Ranks of(comm::Communicator& communicator);

  ~Ranks();
  Ranks(Ranks&&) noexcept;
  Ranks& operator=(Ranks&&) noexcept;

  [[nodiscard]] int rank() const { return communicator_->rank(); }
  [[nodiscard]] int world() const { return communicator_->world(); }
  [[nodiscard]] comm::Communicator& communicator() { return *communicator_; }

 private:
  Ranks(std::unique_ptr<comm::Communicator> owned, comm::Communicator* communicator);
  std::unique_ptr<comm::Communicator> owned_;
  comm::Communicator* communicator_;
};

}  // namespace zt
