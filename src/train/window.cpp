#include "train/window.h"

#include <ATen/ops/add.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace zt::train {
namespace {

constexpr std::int64_t kNoTarget = -100;

}  // namespace

layer::Batch filler_batch(const layer::BatchShape& shape) {
  const auto options = at::TensorOptions().dtype(at::kLong);
  layer::Batch batch;
  batch.input_ids = at::zeros({shape.batch, shape.sequence}, options);
  batch.targets = at::full({shape.batch, shape.sequence}, kNoTarget, options);
  batch.position_ids =
      at::arange(shape.sequence, options).expand({shape.batch, shape.sequence}).contiguous();
  if (shape.document_mask) {
    batch.cu_seqlens = at::arange(0, shape.tokens() + 1, shape.sequence, options.dtype(at::kInt));
  }
  return batch;
}

layer::Batch concat(const std::vector<layer::Batch>& batches) {
  if (batches.size() == 1) return batches.front();
  std::vector<at::Tensor> ids, targets, positions, starts;
  std::int64_t shift = 0;
  for (const auto& batch : batches) {
    ids.push_back(batch.input_ids);
    targets.push_back(batch.targets);
    positions.push_back(batch.position_ids);
    if (batch.cu_seqlens.defined()) {
      // Each list begins with 0, which the list before ended with.
      const auto from = starts.empty() ? 0 : 1;
      starts.push_back(at::add(batch.cu_seqlens.slice(0, from), shift));
    }
    shift += batch.input_ids.numel();
  }
  layer::Batch result{at::cat(ids), at::cat(targets), at::cat(positions), {}};
  if (!starts.empty()) result.cu_seqlens = at::cat(starts);
  return result;
}

std::int64_t count_targets(const layer::Batch& batch) {
  const auto* begin = batch.targets.const_data_ptr<std::int64_t>();
  return batch.targets.numel() - std::count(begin, begin + batch.targets.numel(), kNoTarget);
}

Window read_window(BatchSource& source, const WindowShape& shape, std::int64_t epoch,
                   std::int64_t first, std::int64_t count) {
  Window window;
  std::int64_t read = 0;
  for (int micro = 0; micro < shape.micro_steps; ++micro) {
    std::vector<layer::Batch> group;
    for (int i = 0; i < shape.coalesce; ++i) {
      if (read == count) {
        group.push_back(filler_batch(shape.micro_batch));
        continue;
      }
      group.push_back(source.read(epoch, first + read));
      ++read;
      window.targets += count_targets(group.back());
      window.tokens += shape.micro_batch.tokens();
    }
    window.batches.push_back(concat(group));
  }
  ZT_ASSERT(read == count, "a window has more micro-batches than the step");
  return window;
}

layer::Batch to_device(const layer::Batch& batch, Device device, int device_index) {
  if (device == Device::cpu) return batch;
  const at::Device target(at::kCUDA, static_cast<at::DeviceIndex>(device_index));
  return {batch.input_ids.to(target), batch.targets.to(target), batch.position_ids.to(target),
          batch.cu_seqlens};
}

}  // namespace zt::train
