#pragma once

#include <string>
#include <vector>

#include "schedule/schedule.h"

namespace zt::train {

/// One operation on a common clock.
struct TraceEvent {
  std::string name;
  schedule::Stream stream = schedule::Stream::compute;
  std::string variant;
  double begin = 0, end = 0;  ///< seconds
};

/// The events as a Chrome trace (chrome://tracing, ui.perfetto.dev): one thread per stream.
[[nodiscard]] std::string chrome_trace(const std::vector<TraceEvent>& events, int rank);

}  // namespace zt::train
