#pragma once

#include <functional>

#include "memory/queues.h"

namespace zt::bench {

/// Seconds of one run of `call`, which is captured once and replayed `repeats` times on the compute
/// queue of a CUDA rank. Blocks the host.
double graph_seconds(memory::Queues& queues, const std::function<void(const Launch&)>& call,
                     int repeats);

/// The same after as many runs as take a while, over as many: at the clock of steady load.
double steady_graph_seconds(memory::Queues& queues, const std::function<void(const Launch&)>& call);

/// The same operation by operation, for collectives.
double stream_seconds(memory::Queues& queues, const std::function<void(const Launch&)>& call,
                      int repeats = 10);

}  // namespace zt::bench
