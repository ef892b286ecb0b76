#pragma once

#include <memory>

#include "comm/communicator.h"

namespace zt {

/// Where a rank is on its machine.
struct RankPlace {
  int device_index = 0;  ///< the rank's GPU on Device::cuda, as CUDA_VISIBLE_DEVICES counts
  int local_rank = 0, local_world = 1;  ///< among the ranks that share this machine's cores
};

/// The processes of a run and this one's place among them.
class Ranks {
 public:
  /// One CPU rank: this process alone.
  [[nodiscard]] static Ranks one();
  /// Ranks that somebody else connected, one per process or thread. `communicator` outlives it.
  /// Their place is what the launcher told this process, as for `zt train`: LOCAL_RANK is the GPU
  /// (torchrun, zt launch; Slurm's and MPI's variables count too). Errors: ConfigError for several
  /// ranks on GPUs without a launcher, and for variables that make no sense.
  [[nodiscard]] static Ranks of(comm::Communicator& communicator);
  /// The same at a place of the caller's choice, whatever the launcher said: for a communicator
  /// on GPUs the device it was made for. Errors: ConfigError for a place that cannot be.
  [[nodiscard]] static Ranks of(comm::Communicator& communicator, const RankPlace& place);

  ~Ranks();
  Ranks(Ranks&&) noexcept;
  Ranks& operator=(Ranks&&) noexcept;

  [[nodiscard]] int rank() const { return communicator_->rank(); }
  [[nodiscard]] int world() const { return communicator_->world(); }
  [[nodiscard]] comm::Communicator& communicator() { return *communicator_; }
  [[nodiscard]] const RankPlace& place() const { return place_; }

 private:
  Ranks(std::unique_ptr<comm::Communicator> owned, comm::Communicator* communicator,
        const RankPlace& place);
  std::unique_ptr<comm::Communicator> owned_;
  comm::Communicator* communicator_;
  RankPlace place_;
};

}  // namespace zt
