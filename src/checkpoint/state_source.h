#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "layout/training_state.h"
#include "optim/loss_scaler_state.h"

namespace zt::checkpoint {

/// The few numbers of a run that a checkpoint holds beside its tensors. All ranks have equal ones.
struct RunState {
  std::int64_t global_step = 0;    ///< steps done, skipped ones included
  std::int64_t applied_steps = 0;  ///< optimizer updates: Adam's step count and the schedule's
  std::int64_t samples_seen = 0;   ///< training blocks consumed, over all ranks
  double epoch = 0;
  std::int64_t global_batch = 0;  ///< blocks a step, over all ranks
  std::int64_t coalesce = 1;      ///< micro-batches run as one
  std::uint64_t seed = 0, data_seed = 0;
  std::optional<optim::LossScalerState> loss_scaler;  ///< fp16 runs only
  std::string trainer_state;  ///< text of `trainer_state.json`; empty: none (a foreign checkpoint)
};

/// Where a resumed run takes its state from: a checkpoint of our own, of DeepSpeed's layout, or a
/// universal one. Reads only the slices asked for, so that any world size and stage can resume.
/// Thread-safe after construction. Errors of all functions: CheckpointError naming file and tensor.
class StateSource {
 public:
  virtual ~StateSource() = default;
  /// False: the checkpoint does not hold this kind (weights only; fp32 runs hold no master).
  [[nodiscard]] virtual bool has(layout::StateKind kind) const = 0;
  /// Elements [begin, begin + values.size()) of one parameter, widened to fp32.
  virtual void read(layout::StateKind kind, const layout::ParamSpec& param, std::int64_t begin,
                    std::span<float> values) const = 0;
  [[nodiscard]] virtual const RunState& run_state() const = 0;
};

}  // namespace zt::checkpoint
