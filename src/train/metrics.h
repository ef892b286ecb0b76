#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"

namespace zt::train {

/// What is recorded about one optimizer step.
struct StepRecord {
  std::int64_t step = 0;  ///< from 1; skipped steps count
  double epoch = 0;
  double loss = 0;               ///< sum of token losses over all ranks / their count
  double grad_norm = 0;          ///< global, before clipping
  double learning_rate = 0;      ///< the one this step used
  std::int64_t tokens = 0;       ///< input tokens of this step on all ranks, fillers not counted
  double tokens_per_second = 0;  ///< of this step on all ranks
  Bytes peak_memory;   ///< of rank 0 so far: device memory, or growth of the process on the CPU
  double elapsed = 0;  ///< seconds since the first step of this process began
  /// Seconds that training has waited for checkpoints since the record before.
  double save_blocked_seconds = 0;
  bool skipped = false;        ///< not finite: nothing was updated
  std::string cause;           ///< of a skipped step, for the log
  double loss_scale = 0;       ///< fp16: the one of this step; else 0
  double next_loss_scale = 0;  ///< fp16: the one of the coming step
};

/// One JSON object without line end. Non-finite numbers become null; `loss_scale` is there in fp16
/// only.
[[nodiscard]] std::string to_json_line(const StepRecord& record);

}  // namespace zt::train
