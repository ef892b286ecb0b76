#pragma once

#include <vector>

#include "config/config.h"
#include "plan/device_limits.h"
#include "plan/machine_rates.h"
#include "plan/measure.h"
#include "zero/engine.h"

namespace zt::plan {

/// What a run has to fit into.
struct Target {
  Device device = Device::cuda;
  int world = 1;
  Bytes device_memory;  ///< of one rank; 0: not known
  Bytes host_memory;    ///< of all ranks of the machine together; 0: not known
  int local_world = 1;  ///< ranks that share the host memory
  /// Whether host_memory is a limit (the user's, a cgroup's) and not just what the machine has.
  bool host_is_limit = true;
  /// What choices that need predicted times are made by; null: they are not made.
  const DeviceLimits* sheet = nullptr;
  OffloadRates measured;  ///< on this machine, where not 0, instead of the sheet's
};

/// Share of the device that `auto` choices and recommendations may use (DESIGN section 1).
inline constexpr double kUsableShare = 0.9;

/// One way to run a model, and what it takes.
struct Candidate {
  zero::EngineOptions options;
  MemoryReport memory;
  StepCosts costs;
  std::vector<double> forward_flops;  ///< of one micro-step, by layer

  /// Of all ranks of a machine; CPU ranks have their device's memory there too.
  [[nodiscard]] Bytes host_of_machine(const Target& target) const {
    const auto of_rank = target.device == Device::cpu ? memory.host_total() + memory.device.arena
                                                      : memory.host_total();
    return of_rank * target.local_world;
  }
};

/// True when the candidate needs at most `share` of the device and the host's memory suffices.
/// Memory that is not known always suffices.
bool fits(const Candidate& candidate, const Target& target, double share);

/// A model with its layout for one world size, ready to be planned several times. Holds references.
class Planner {
 public:
  Planner(const zero::ModelParts& model, const Target& target);

  /// Builds the program these options give and measures it.
  /// Errors: ConfigError for options that contradict each other.
  [[nodiscard]] Candidate measure(const zero::EngineOptions& options) const;
  [[nodiscard]] schedule::Program program(const zero::EngineOptions& options) const;
  [[nodiscard]] const Target& target() const { return target_; }
  [[nodiscard]] const layout::ModelLayout& layout() const { return layout_; }
  [[nodiscard]] Numel num_params() const { return layout_.num_params(); }

 private:
  const zero::ModelParts& model_;
  Target target_;
  layout::ModelLayout layout_;
};

}  // namespace zt::plan
