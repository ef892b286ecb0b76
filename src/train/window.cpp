#include "train/window.h"

#include <ATen/ops/add.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <fmt/format.h>

#include <cstring>
#include <iterator>
#include <numeric>

#include "base/error.h"

namespace zt::train {

std::string short_epoch_warning(const data::Sampler& sampler, std::int64_t accumulation) {
  const auto batches = std::ssize(sampler.plan_step(0, 0).micro);
  if (sampler.updates_per_epoch() > 1 || batches >= accumulation) return "";
  return fmt::format(
      "an epoch has {} batches per rank and a step takes --gradient_accumulation_steps {}: every "
      "step runs {} empty ones. Lower it to {}, or give more data.",
      batches, accumulation, accumulation - batches, batches);
}

layer::Batch to_batch(const data::MicroBatch& micro, bool document_mask) {
  const auto options = at::TensorOptions().dtype(at::kLong);
  layer::Batch batch;
  batch.input_ids = at::empty({micro.batch, micro.sequence}, options);
  batch.targets = at::empty({micro.batch, micro.sequence}, options);
  const auto bytes = static_cast<std::size_t>(batch.input_ids.nbytes());
  std::memcpy(batch.input_ids.data_ptr(), micro.input_ids.data(), bytes);
  std::memcpy(batch.targets.data_ptr(), micro.labels.data(), bytes);
  batch.position_ids =
      at::arange(micro.sequence, options).expand({micro.batch, micro.sequence}).contiguous();
  if (!document_mask) return batch;
  auto* positions = batch.position_ids.data_ptr<std::int64_t>();
  const auto& starts = micro.document_starts;
  for (std::size_t d = 0; d + 1 < starts.size(); ++d) {
    std::iota(positions + starts[d], positions + starts[d + 1], 0);
  }
  batch.cu_seqlens = at::empty({static_cast<std::int64_t>(starts.size())}, options.dtype(at::kInt));
  std::memcpy(batch.cu_seqlens.data_ptr(), starts.data(), starts.size() * sizeof(starts.front()));
  return batch;
}

layer::Batch filler_batch(const layer::BatchShape& shape) {
  const auto options = at::TensorOptions().dtype(at::kLong);
  layer::Batch batch;
  batch.input_ids = at::zeros({shape.batch, shape.sequence}, options);
  batch.targets = at::full({shape.batch, shape.sequence}, data::kIgnoredTarget, options);
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

Window make_window(const data::StepBatch& step, const WindowShape& shape) {
  Window window;
  window.targets = step.target_tokens_local;
  std::size_t next = 0;
  for (int micro = 0; micro < shape.micro_steps; ++micro) {
    std::vector<layer::Batch> group;
    for (int i = 0; i < shape.coalesce; ++i) {
      if (next == step.micro.size()) {
        group.push_back(filler_batch(shape.micro_batch));
        continue;
      }
      const auto& from = step.micro[next++];
      window.tokens += from.samples * from.sequence;
      group.push_back(to_batch(from, shape.micro_batch.document_mask));
    }
    window.batches.push_back(concat(group));
  }
  ZT_ASSERT(next == step.micro.size(), "a step has more micro-batches than the engine runs");
  return window;
}

layer::Batch to_device(const layer::Batch& batch, Device device, int device_index) {
  if (device == Device::cpu) return batch;
  const at::Device target(at::kCUDA, static_cast<at::DeviceIndex>(device_index));
  return {batch.input_ids.to(target), batch.targets.to(target), batch.position_ids.to(target),
          batch.cu_seqlens};
}

layer::Batch to_staging(const layer::Batch& batch, Device device) {
  if (device == Device::cpu) return batch;
  return {batch.input_ids.pin_memory(), batch.targets.pin_memory(), batch.position_ids.pin_memory(),
          batch.cu_seqlens};
}

}  // namespace zt::train
