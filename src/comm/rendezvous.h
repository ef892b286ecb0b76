#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "comm/monitor.h"
#include "comm/position.h"
#include "comm/store.h"

namespace zt::comm {

/// What a launcher tells one process, and the limits of its communication.
struct RendezvousOptions {
  int rank = 0;
  int world = 1;
  int local_rank = 0;  ///< index of the GPU on Device::cuda
  std::string master_addr = "127.0.0.1";
  int master_port = 29500;
  std::optional<int> listen_fd;  ///< rank 0: bound socket from the launcher (ZT_LISTEN_FD)
  bool use_agent_store = false;  ///< TORCHELASTIC_USE_AGENT_STORE: the launcher hosts the store
  std::string run_id = "0";      ///< keys of one attempt (TORCHELASTIC_RESTART_COUNT)
  std::chrono::milliseconds connect_timeout{120'000};
  std::chrono::milliseconds timeout{1'800'000};  ///< of one operation
  MonitorOptions monitor;  ///< `positions` but for its limits is filled in by `rendezvous`
  int local_world = 1;     ///< ranks of this machine, in one row
};

/// One rank's place in a run: the store, the communicator and the watch over the other ranks.
///
/// Every CommError of its communicator names the first failure of the run; a failing rank is known
/// to all others within seconds, also when it was killed or stopped. Without `leave` the destructor
/// tells the others nothing; a rank that fails calls `report_failure` first.
class RankGroup {
 public:
  virtual ~RankGroup() = default;
  RankGroup() = default;
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  [[nodiscard]] virtual Communicator& communicator() = 0;
  /// For the thread that drives the run; a thread of its own takes a `clone`.
  [[nodiscard]] virtual Store& store() = 0;
  /// Where this rank writes what it does, for reports of a hang.
  [[nodiscard]] virtual PositionWriter& position() = 0;
  /// How reports name the schedule's operations.
  virtual void set_operation_names(OperationNames names) = 0;
  /// Records that this rank failed and aborts the others. Returns the first failure of the run,
  /// which may be another rank's. Does not throw on a broken store.
  virtual Failure report_failure(const std::string& message) = 0;
  [[nodiscard]] virtual std::optional<Failure> first_failure() const = 0;
  /// Orderly end, called by every rank after its last operation. Errors: CommError when another
  /// rank failed instead.
  virtual void leave() = 0;
};

/// Runs this rank's part of the run. An error that leaves `body` is told to the other ranks at
/// once, before the caller tears anything down. Where another rank's failure came first, the error
/// becomes a CommError that names it: what an aborted operation leaves behind is never the cause of
/// a run's end. Errors: those of `body`, CommError.
void run_part(RankGroup& group, const std::function<void()>& body);

/// Meets the other ranks and connects: Gloo on the CPU, NCCL on CUDA, neither for one CPU rank.
/// Errors: CommError within `connect_timeout`; DeviceError when the build lacks CUDA.
std::unique_ptr<RankGroup> rendezvous(const RendezvousOptions& options, Device device);

}  // namespace zt::comm
