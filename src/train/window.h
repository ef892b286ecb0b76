#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/loader.h"
#include "data/sampler.h"
#include "layer/layer.h"
#include "memory/view.h"

namespace zt::train {

/// How the micro-batches of a step are run.
struct WindowShape {
  layer::BatchShape micro_batch;  ///< as the loader gives them
  int micro_steps = 1;            ///< calls of Engine::micro_step per step
  int coalesce = 1;               ///< micro-batches of the loader per call
};

/// This rank's part of one step, on the host.
struct Window {
  std::vector<layer::Batch> batches;  ///< exactly micro_steps
  std::int64_t targets = 0;           ///< that are not -100
  std::int64_t tokens = 0;            ///< input tokens, fillers not counted
};

/// Stacks the micro-batches of a step. A short step is filled with batches without targets, which
/// leave loss and gradients unchanged.
[[nodiscard]] Window make_window(const data::StepBatch& step, const WindowShape& shape);

/// What to tell when a whole epoch is shorter than a step, which is then mostly such batches;
/// empty: nothing.
[[nodiscard]] std::string short_epoch_warning(const data::Sampler& sampler,
                                              std::int64_t accumulation);

/// The loader's batch as tensors of its own. With a document mask positions restart at each
/// document and cu_seqlens are set, else positions run 0..T-1.
[[nodiscard]] layer::Batch to_batch(const data::MicroBatch& micro, bool document_mask);
/// A batch without targets.
[[nodiscard]] layer::Batch filler_batch(const layer::BatchShape& shape);
/// Batches stacked along B; document starts shifted.
[[nodiscard]] layer::Batch concat(const std::vector<layer::Batch>& batches);
/// The batch on the rank's device; cu_seqlens stays on the host. No copy on the CPU.
[[nodiscard]] layer::Batch to_device(const layer::Batch& batch, Device device, int device_index);

/// Page-locked copies on a CUDA rank, from which the engine copies without blocking the host.
[[nodiscard]] layer::Batch to_staging(const layer::Batch& batch, Device device);

}  // namespace zt::train
