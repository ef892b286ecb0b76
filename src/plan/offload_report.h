#pragma once

#include <string>

#include "plan/candidate.h"
#include "zero/host_rates.h"

namespace zt::plan {

/// Seconds of one step that offload adds to one rank's step, and what they come from.
struct OffloadTime {
  double compute = 0;    ///< of the step, at the measured rate of products
  double download = 0;   ///< of gradients in the last backward pass
  double optimizer = 0;  ///< of the host
  double upload = 0;     ///< of updated parameters
  double fetch = 0;      ///< of parameters and waiting gradients, in all micro-steps
  double exposed = 0;    ///< what no compute hides
};

/// The optimizer and its uploads hide behind the first forward pass of the next step, downloads
/// behind the last backward pass, fetches behind all compute.
[[nodiscard]] OffloadTime predict_offload(const Candidate& candidate,
                                          const schedule::Program& program,
                                          const zero::HostRates& rates);

/// One line per kind of memory with its bytes, the measured rates and the predicted exposed time;
/// then a warning for each cause that costs more than 10 % of the step. Empty without offload.
[[nodiscard]] std::string offload_report(const Candidate& candidate,
                                         const schedule::Program& program,
                                         const zero::HostRates& rates);

}  // namespace zt::plan
