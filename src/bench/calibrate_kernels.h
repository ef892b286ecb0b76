#pragma once

#include <vector>

#include "memory/queues.h"
#include "plan/device_file.h"

namespace zt::bench {

/// Times every kernel that is neither a product nor attention, in bf16 on CUDA device `index`:
/// over rows of the widths of Qwen3-0.6B and -8B at several numbers of rows, and over flat buffers.
/// Small ones run one after another inside of a graph, as in a step.
[[nodiscard]] std::vector<plan::KernelTime> measure_kernels(memory::Queues& queues, int index);

}  // namespace zt::bench
