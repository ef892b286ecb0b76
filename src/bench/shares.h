#pragma once

#include <vector>

#include "schedule/schedule.h"

namespace zt::bench {

/// When one operation ran, seconds since its list began.
struct Interval {
  schedule::Stream stream = schedule::Stream::compute;
  double begin = 0, end = 0;
};

/// Seconds of one list of operations.
struct Busy {
  double compute = 0;        ///< the compute stream works
  double communication = 0;  ///< the communication stream works
  double exposed = 0;        ///< communication or the host works, compute does not
  double length = 0;         ///< until the last operation ends
};

[[nodiscard]] Busy busy_of(std::vector<Interval> intervals);

/// Where the time of a step goes; the parts add up to 1.
struct Shares {
  double gemm = 0, attention = 0;
  double other = 0;    ///< kernels that are neither, and gaps between the kernels of one operation
  double exposed = 0;  ///< communication that no compute hides
  double idle = 0;
};

/// `busy`: of the lists of a step together. `gemm`, `attention`: seconds they take alone.
/// `step`: seconds of a step that was not measured operation by operation.
[[nodiscard]] Shares shares_of(const Busy& busy, double gemm, double attention, double step);

}  // namespace zt::bench
