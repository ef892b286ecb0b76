#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layout/training_state.h"
#include "memory/arena.h"
#include "memory/background_copy.h"
#include "zero/binding.h"

namespace zt::zero {

/// Where a resumed run takes its training state from.
struct StateReader {
  std::function<bool(layout::StateKind kind)> has;
  /// Fills `values` (fp32, host) with elements [begin, begin + values.size()) of a parameter.
  /// Called only for what this rank keeps, in pieces of at most 16 MiB.
  std::function<void(layout::StateKind kind, layout::ParamId id, std::int64_t begin,
                     std::span<float> values)>
      read;
  /// Of the weights, as they were rounded from the masters; absent: the compute dtype. A run may
  /// go on in another precision than the one that saved.
  std::optional<DType> weight_dtype;
};

/// What `Engine::load_state` found.
struct LoadedState {
  bool moments = false;  ///< false: the reader has none, they were zeroed
  /// Weights of the reader that are not its masters rounded to their dtype.
  std::int64_t differing_weights = 0;
  std::string first_differing;  ///< parameter name
};

/// One kind of state of one unit, or a part of it, as far as it is one rank's, where the engine
/// keeps it.
struct ShardState {
  int unit = 0;
  layout::StateKind kind = layout::StateKind::weight;
  View shard;
  Place where = Place::device;
  std::int64_t begin = 0;   ///< of `shard` in the rank's shard of the unit
  schedule::BufferId disk;  ///< Place::nvme: what holds it; `shard` has no address then
};

/// The state a rank answers for, unit by unit: at every stage each element of the model belongs to
/// exactly one rank, the one whose shard of the unit it lies in. Kinds: weight, exp_avg and
/// exp_avg_sq, and master when the compute dtype is not fp32 (else the weight is the master).
std::vector<ShardState> owned_state(const Machine& machine);

/// Gives the parameters' parts of a shard to `sink`, without padding. `values`: the shard in host
/// memory.
void visit_slices(const Machine& machine, const ShardState& state, const View& values,
                  const StateSink& sink);
/// State on disk as `read` (Disk::read, Disk::read_frozen) gives it, piece by piece.
void stream_disk(const Machine& machine, const ShardState& state, const StateSink& sink,
                 void (Disk::*read)(schedule::BufferId, std::int64_t, const View&));
/// All owned state to `sink`, streamed through a staging buffer of 64 MiB where it is on a GPU;
/// host memory is given as it is. Blocks the host. The executor is idle.
void stream_state(const Machine& machine, const Launch& launch, const StateSink& sink);

/// Fills unit `unit` from `reader`: master, weight and moments of what this rank keeps; then
/// replicated weights are gathered. Collective. Padding becomes 0. `staging`: host memory for 16
/// MiB, or a block of the disk's where that is more; not used on the CPU.
void load_unit_state(const Machine& machine, int unit, const StateReader& reader,
                     const memory::Arena& staging, const Launch& launch, LoadedState& loaded);

/// The owned state of a moment: a copy in host memory (page-locked with CUDA), taken while the next
/// step computes and read by another thread afterwards. What lies on disk is not copied: the next
/// step writes beside it (Disk::freeze).
class StateSnapshot {
 public:
  /// Reserves the memory, and room on disk for what is written beside the snapshot.
  /// Errors: DeviceError or FileError when it does not suffice.
  explicit StateSnapshot(const Machine& machine);

  /// Starts copying. The state is complete, and unchanged until `wait_copied` has returned.
  void start();
  /// Thread-safe. Errors: DeviceError.
  void wait_copied() { copy_.wait(); }
  /// Waits for the copy, then gives all of it to `sink` and gives it up. Any thread.
  void write(const StateSink& sink);
  [[nodiscard]] Bytes bytes() const { return arena_.size(); }

 private:
  const Machine& machine_;
  std::vector<ShardState> states_;
  memory::Arena arena_;
  std::vector<View> copies_;  ///< by state; without address for those on disk
  memory::BackgroundCopy copy_;
};

}  // namespace zt::zero
