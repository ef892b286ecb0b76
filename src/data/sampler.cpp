#include "data/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "base/error.h"

namespace zt::data {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

std::vector<std::int64_t> torch_randperm(std::int64_t n, std::uint64_t seed) {
  constexpr std::int64_t kLimit = 0xFFFFFFFFLL / 20;  // ATen/native/TensorFactories.cpp, torch 2.11
  if (n >= kLimit) {
    throw ConfigError(
        fmt::format("[data.sampler] too many samples to shuffle: got {}, expected fewer "
                    "than {}. Raise --block_size.",
                    n, kLimit));
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 engine(static_cast<std::uint32_t>(seed));
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    std::swap(order[i], order[i + engine() % (order.size() - i)]);
  }
  return order;
}

Sampler::Sampler(const SamplerOptions& options, std::vector<std::int32_t> lengths)
    : options_(options), lengths_(std::move(lengths)) {
  const std::int64_t n = options_.num_samples, batch = options_.per_device_batch;
  ZT_ASSERT(batch > 0 && options_.world > 0 && options_.accumulation > 0, "sizes are positive");
  ZT_ASSERT(options_.strategy != config::Sampling::group_by_length || std::ssize(lengths_) == n,
            "group_by_length needs a length per sample");
  batches_ = options_.drop_last ? n / batch / options_.world
                                : ceil_div(ceil_div(n, batch), options_.world);
  updates_ = ceil_div(batches_, options_.accumulation);
  if (batches_ == 0) {
    throw ConfigError(fmt::format(
        "[data.sampler] an epoch has no batch: got {} samples for {} ranks of batch {}{}. Give "
        "more "
        "data or smaller batches.",
        n, options_.world, batch, options_.drop_last ? " with --dataloader_drop_last" : ""));
  }
}

std::int64_t Sampler::total_steps() const {
  if (options_.max_steps > 0) return options_.max_steps;
  return static_cast<std::int64_t>(std::ceil(options_.num_epochs * static_cast<double>(updates_)));
}

double Sampler::epoch_at(std::int64_t steps_done) const {
  if (steps_done <= 0) return 0.0;
  const std::int64_t epoch = (steps_done - 1) / updates_;
  const std::int64_t windows = (steps_done - 1) % updates_ + 1;
  const std::int64_t batches = std::min(windows * options_.accumulation, batches_);
  return static_cast<double>(epoch) + static_cast<double>(batches) / static_cast<double>(batches_);
}

StepPlan Sampler::plan_step(std::int64_t step, std::int64_t rank) const {
  ZT_ASSERT(step >= 0 && rank >= 0 && rank < options_.world, "step and rank are in range");
  StepPlan plan;
  plan.epoch = step / updates_;
  const auto order = order_of(plan.epoch);
  const std::int64_t first = step % updates_ * options_.accumulation;
  const std::int64_t last = std::min(first + options_.accumulation, batches_);
  for (std::int64_t round = first; round < last; ++round) {
    plan.micro.push_back(batch_of(*order, round, rank));
  }
  return plan;
}

std::vector<std::int64_t> Sampler::batch_of(const Order& order, std::int64_t round,
                                            std::int64_t rank) const {
  const std::int64_t n = options_.num_samples;
  const std::int64_t begin = (round * options_.world + rank) * options_.per_device_batch;
  std::int64_t end = begin + options_.per_device_batch;
  if (options_.world == 1) end = std::min(end, n);
  std::vector<std::int64_t> batch;
  for (std::int64_t i = begin; i < end; ++i) {
    batch.push_back(order[static_cast<std::size_t>(i % n)]);  // past the end: from the start again
  }
  return batch;
}

std::shared_ptr<const Sampler::Order> Sampler::order_of(std::int64_t epoch) const {
  const std::lock_guard lock(mutex_);
  if (cached_epoch_ != epoch) {
    cached_order_ = std::make_shared<const Order>(make_order(epoch));
    cached_epoch_ = epoch;
  }
  return cached_order_;
}

Sampler::Order Sampler::make_order(std::int64_t epoch) const {
  if (options_.strategy == config::Sampling::sequential) {
    Order order(static_cast<std::size_t>(options_.num_samples));
    std::iota(order.begin(), order.end(), 0);
    return order;
  }
  Order order =
      torch_randperm(options_.num_samples, options_.seed + static_cast<std::uint64_t>(epoch));
  const bool grouped = options_.strategy == config::Sampling::group_by_length;
  return grouped ? group_by_length(std::move(order)) : order;
}

Sampler::Order Sampler::group_by_length(Order order) const {
  const std::int64_t n = options_.num_samples;
  const std::int64_t batch = options_.per_device_batch * options_.accumulation;
  const std::int64_t multiple =
      std::max<std::int64_t>(1, std::min<std::int64_t>(n / (batch * 4), 50));
  const std::int64_t mega = multiple * batch;
  const auto length = [&](std::int64_t sample) {
    return lengths_[static_cast<std::size_t>(sample)];
  };
  auto longest = order.begin();
  for (std::int64_t begin = 0; begin < n; begin += mega) {
    const auto first = order.begin() + begin;
    std::stable_sort(first, order.begin() + std::min(begin + mega, n),
                     [&](auto a, auto b) { return length(a) > length(b); });
    if (begin == 0 || length(*first) > length(*longest)) longest = first;
  }
  std::iter_swap(order.begin(), longest);
  return order;
}

}  // namespace zt::data
