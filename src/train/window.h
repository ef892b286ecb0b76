#pragma once

#include <cstdint>
#include <vector>

#include "layer/layer.h"
#include "memory/view.h"
#include "train/batch_source.h"

namespace zt::train {

/// Which micro-batches a step takes and how they are run.
struct WindowShape {
  layer::BatchShape micro_batch;  ///< as the source gives them
  int micro_steps = 1;            ///< calls of Engine::micro_step per step
  int coalesce = 1;               ///< micro-batches of the source per call
};

/// This rank's part of one step, read ahead so that its targets can be counted before the first
/// forward.
struct Window {
  std::vector<layer::Batch> batches;  ///< exactly micro_steps, on the host
  std::int64_t targets = 0;           ///< that are not -100
  std::int64_t tokens = 0;            ///< input tokens, fillers not counted
};

/// Reads the micro-batches [first, first + count) of an epoch. A short window is filled with
/// batches without targets, which leave loss and gradients unchanged.
[[nodiscard]] Window read_window(BatchSource& source, const WindowShape& shape, std::int64_t epoch,
                                 std::int64_t first, std::int64_t count);

/// A batch without targets.
[[nodiscard]] layer::Batch filler_batch(const layer::BatchShape& shape);
/// Batches stacked along B; document starts shifted.
[[nodiscard]] layer::Batch concat(const std::vector<layer::Batch>& batches);
/// Targets that are not -100.
[[nodiscard]] std::int64_t count_targets(const layer::Batch& batch);
/// The batch on the rank's device; cu_seqlens stays on the host. No copy on the CPU.
[[nodiscard]] layer::Batch to_device(const layer::Batch& batch, Device device, int device_index);

}  // namespace zt::train
