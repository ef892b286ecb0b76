#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/units.h"
#include "memory/view.h"

namespace zt::comm {

/// Collective communication between the ranks of a run.
///
/// All ranks call the same operations in the same order with the same sizes. On the CPU a call
/// blocks until its result is there; on CUDA it is queued on `launch.stream`. Calls come from one
/// thread at a time.
/// Errors: CommError (rank, operation, peer where known) when a peer fails or the timeout passes.
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int world() const = 0;
  [[nodiscard]] virtual Device device() const = 0;

  /// Shapes: send [n], recv [world x n]; send may be recv's own part (in place). Any dtype.
  virtual void all_gather(const View& send, const View& recv, const Launch& launch) = 0;
  /// Shapes: send, recv [world x n]: part p of send goes to rank p, part p of recv comes from it.
  virtual void all_to_all(const View& send, const View& recv, const Launch& launch) = 0;
  /// The library's own reduction, summed in its order. Shapes: send [world x n], recv [n].
  virtual void reduce_scatter_sum(const View& send, const View& recv, const Launch& launch) = 0;
  /// In place. Shapes: data [n].
  virtual void broadcast(const View& data, int root, const Launch& launch) = 0;
  /// Offers memory that operations move and that has the same layout on all ranks: where GPUs of
  /// one machine reach each other's memory, operations that receive into it are copies by their
  /// copy engines from now on. Collective, blocks the host. Returns whether that is so, the same on
  /// every rank. `memory`: one whole allocation.
  virtual bool share_memory(const View& memory) {
    (void)memory;
    return false;
  }
  /// Before that memory goes: no rank writes there any more. Collective; without effect when
  /// nothing is shared.
  virtual void unshare_memory() {}
  /// Returns on every rank after every rank has called it. Blocks the host.
  virtual void barrier() = 0;
  /// Throws CommError when an operation queued earlier has failed meanwhile. Cheap, does not wait;
  /// thread-safe. For the watchdog and for loops that wait on CUDA events.
  virtual void check() {}
  /// Makes pending and later calls on this rank fail promptly. Thread-safe.
  virtual void abort(const std::string& reason) = 0;
};

}  // namespace zt::comm
