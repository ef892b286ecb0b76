#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plan/candidate.h"

namespace zt::plan {

/// What the user has named of stage and offload; the rest is the planner's choice. Recomputation is
/// named in EngineOptions.
struct Named {
  std::optional<int> stage;
  std::optional<Place> optimizer, param;
  std::optional<double> ratio;
  /// Whether disks may be used, and the folder where none is named.
  bool disk = false;
  std::string nvme_path = "/local/nvme";
};

/// Predicted seconds of a step.
using StepSeconds =
    std::function<double(const Candidate& candidate, const schedule::Program& program)>;

/// One way to place states and parameters, and what it takes.
struct Setting {
  zero::EngineOptions asked;  ///< what a user writes to get it
  Candidate chosen;           ///< with the auto choices of a run
  double seconds = 0;         ///< of a step, predicted
};

/// The best setting of each way of offload: none, a ratio of the states, all states, parameters
/// too, states on disk, parameters on disk.
struct Settings {
  /// Those that fit. The first is to be taken: the fastest, or a simpler one that is predicted to
  /// be at most 2 % slower. The rest follow by seconds.
  std::vector<Setting> fitting;
  /// The ways that do not fit, each with the stage and recomputation that take least of the device.
  std::vector<Setting> too_large;
};

/// Tries every way, stage, ratio and recomputation that the user leaves open, each with the choices
/// that `choose` makes in a run. Ratios are multiples of 0.05.
/// Where a run fits without offload and without computing anything twice, nothing else is tried.
/// `rows`: those of `table`, if the caller has them.
[[nodiscard]] Settings find_settings(const Planner& planner, const zero::EngineOptions& options,
                                     const Named& named, const StepSeconds& seconds,
                                     const std::vector<Candidate>& rows = {});

/// `stage 3, optimizer cpu (ratio 0.35), params nvme, recompute full`.
[[nodiscard]] std::string setting_name(const zero::EngineOptions& options);

/// Why the first of `fitting` is the one to take: a line, or none when nothing else was tried.
[[nodiscard]] std::string reason(const Settings& settings, const Target& target);

/// One line for each setting: predicted time, bytes of device, host and disk, and what it is; then
/// the ways that do not fit with what they would need.
[[nodiscard]] std::string render(const Settings& settings, const Target& target);

}  // namespace zt::plan
