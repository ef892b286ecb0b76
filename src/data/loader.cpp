#include "data/loader.h"

#include <algorithm>

#include "base/units.h"

namespace zt::data {

MicroBatch read_batch(const Dataset& dataset, std::span<const std::int64_t> samples,
                      std::int64_t batch) {
  const std::int64_t sequence = dataset.block_size();
  const std::int64_t tokens = batch * sequence;
  checked_narrow<std::int32_t>(tokens);  // document starts are 32-bit
  MicroBatch result;
  result.batch = batch;
  result.sequence = sequence;
  result.samples = std::ssize(samples);
  result.input_ids.assign(static_cast<std::size_t>(tokens), 0);
  result.labels.assign(static_cast<std::size_t>(tokens), kIgnoredTarget);
  std::vector<std::int32_t> starts;
  for (std::int64_t row = 0; row < batch; ++row) {
    const auto begin = static_cast<std::size_t>(row * sequence);
    const auto size = static_cast<std::size_t>(sequence);
    starts.assign(1, 0);
    if (row < result.samples) {
      starts.clear();
      dataset.read(samples[static_cast<std::size_t>(row)],
                   std::span(result.input_ids).subspan(begin, size),
                   std::span(result.labels).subspan(begin, size), starts);
    }
    for (const std::int32_t start : starts) {
      result.document_starts.push_back(static_cast<std::int32_t>(begin) + start);
    }
  }
  result.document_starts.push_back(static_cast<std::int32_t>(tokens));
  result.target_tokens =
      tokens - std::count(result.labels.begin(), result.labels.end(), kIgnoredTarget);
  return result;
}

StepBatch TrainLoader::read_step(std::int64_t step) const {
  StepBatch result;
  for (const auto& samples : sampler_->plan_step(step, rank_).micro) {
    result.micro.push_back(read_batch(*dataset_, samples, batch_));
    result.target_tokens_local += result.micro.back().target_tokens;
  }
  result.epoch = sampler_->epoch_at(step + 1);
  return result;
}

std::int64_t EvalLoader::num_batches() const {
  const std::int64_t round = batch_ * world_;
  return (dataset_->size() + round - 1) / round;
}

MicroBatch EvalLoader::read(std::int64_t index) const {
  const std::int64_t first = std::min((index * world_ + rank_) * batch_, dataset_->size());
  const std::int64_t last = std::min(first + batch_, dataset_->size());
  std::vector<std::int64_t> samples;
  for (std::int64_t i = first; i < last; ++i) samples.push_back(i);
  return read_batch(*dataset_, samples, batch_);
}

}  // namespace zt::data
