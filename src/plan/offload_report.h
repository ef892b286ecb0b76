#pragma once

#include <string>

#include "plan/candidate.h"
#include "zero/host_rates.h"

namespace zt::plan {

/// Seconds that offload takes and adds in one rank's step, and what they come from.
struct OffloadTime {
  double step = 0;     ///< of a whole step
  double compute = 0;  ///< of the step
  /// What each kind of work takes alone: gradients down, updated parameters up, parameters and
  /// waiting gradients up, the host's AdamW, disks.
  double download = 0, upload = 0, fetch = 0, optimizer = 0, disk_read = 0, disk_write = 0;
  double exposed = 0;  ///< what no compute hides
  /// By how much the step would be shorter if copies, AdamW or disks took no time.
  double exposed_copies = 0, exposed_optimizer = 0, exposed_disk = 0;
};

/// Walks a step at the measured rates (plan/step_estimate.h). `layers`: the share of a product's
/// rate at which layers run (layer_share).
[[nodiscard]] OffloadTime predict_offload(const Candidate& candidate,
                                          const schedule::Program& program,
                                          const zero::HostRates& rates, double layers);

/// One line per kind of memory with its bytes, the measured rates and the predicted exposed time;
/// then a warning for each cause that costs more than 10 % of the step. Empty without offload.
[[nodiscard]] std::string offload_report(const Candidate& candidate,
                                         const schedule::Program& program,
                                         const zero::HostRates& rates, double layers);

}  // namespace zt::plan
