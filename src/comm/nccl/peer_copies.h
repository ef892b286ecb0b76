#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "comm/nccl/cuda_handles.h"
#include "memory/view.h"

namespace zt::comm {

/// Every rank's bytes, in rank order, from this rank's; all give the same number. Blocks the host.
using ExchangeBytes =
    std::function<std::vector<std::byte>(const void* mine, std::size_t num_bytes)>;

/// Collectives of the GPUs of one machine as copies by their copy engines: no multiprocessor takes
/// part, so products beside them keep theirs.
///
/// Each rank maps the others' shared memory (CUDA IPC). An operation is: tell the others that the
/// receiving buffer is free and wait for theirs; write into each of them; tell them that it is
/// done, and wait until all have written here. The two signals are words of device memory that the
/// streams write and wait for, so that operations can be captured into a CUDA graph; each word is
/// cleared by the rank that waited for it, before anyone can write it again.
class PeerCopies {
 public:
  /// Collective. Null on every rank when a rank lies on another machine or cannot reach another's
  /// memory. `memory`: one whole allocation of the same size on every rank.
  static std::unique_ptr<PeerCopies> connect(const View& memory, int rank, int world,
                                             const ExchangeBytes& exchange);
  /// Nobody writes to the memory of others any more; unmaps it.
  ~PeerCopies();
  PeerCopies(const PeerCopies&) = delete;
  PeerCopies& operator=(const PeerCopies&) = delete;

  /// True when receiving into `recv` is worth it and lies in the shared memory; the same on every
  /// rank, as layouts are.
  [[nodiscard]] bool takes(const View& recv) const;
  /// As Communicator's; queued on `stream`.
  void all_gather(const View& send, const View& recv, cudaStream_t stream);
  void all_to_all(const View& send, const View& recv, cudaStream_t stream);

  /// After a rank has failed: lets go every wait of this rank's streams, until the end.
  void release();

 private:
  struct Peer {
    std::byte* memory = nullptr;
    std::byte* words = nullptr;
  };
  enum class Signal : std::size_t { ready, done };

  PeerCopies(const View& memory, int rank, int world);
  [[nodiscard]] bool open(const std::vector<std::byte>& offers);
  /// Tells every other rank and waits for all of them.
  void meet(Signal signal, cudaStream_t stream) const;
  /// The words that rank `from` writes at `owner`.
  [[nodiscard]] std::byte* word(std::byte* owner, Signal signal, int from) const;

  View memory_;
  int rank_, world_;
  DeviceMemory words_;
  std::vector<Peer> peers_;  ///< by rank; nothing at this rank's place
  void* batch_function_ = nullptr;
  std::jthread releasing_;
};

}  // namespace zt::comm
