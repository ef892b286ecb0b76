#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "config/config.h"

namespace zt::data {

/// The permutation `torch.randperm(n)` of a CPU generator with `manual_seed(seed)`.
/// Errors: ConfigError for n >= 214748364, where torch takes another algorithm.
std::vector<std::int64_t> torch_randperm(std::int64_t n, std::uint64_t seed);

/// What the order of samples depends on.
struct SamplerOptions {
  std::int64_t num_samples = 0;
  std::int64_t per_device_batch = 1;
  std::int64_t world = 1;
  std::int64_t accumulation = 1;
  config::Sampling strategy = config::Sampling::random;
  std::uint64_t seed = 42;
  bool drop_last = false;
  double num_epochs = 1.0;
  std::int64_t max_steps = -1;  ///< > 0: overrides num_epochs
};

/// The samples of one rank in one step.
struct StepPlan {
  std::int64_t epoch = 0;
  std::vector<std::vector<std::int64_t>> micro;  ///< sample indices per micro-step
};

/// The order in which the Hugging Face Trainer visits samples. Batches of the per-device size are
/// dealt round-robin over ranks; with more than one rank the last round is filled from the start of
/// the epoch's order (or dropped); one rank has a short last batch. The last window of an epoch is
/// stepped although incomplete. Any step can be asked for at once; nothing is replayed.
/// Thread: any number at once.
class Sampler {
 public:
  /// `lengths`: tokens per sample, only for group_by_length.
  /// Errors: ConfigError when there is no batch in an epoch.
  explicit Sampler(const SamplerOptions& options, std::vector<std::int32_t> lengths = {});

  /// Optimizer steps of one epoch.
  std::int64_t updates_per_epoch() const { return updates_; }
  /// max_steps, or all steps of num_epochs.
  std::int64_t total_steps() const;
  /// Epochs done after `steps_done` steps, as the Trainer logs them.
  double epoch_at(std::int64_t steps_done) const;
  /// Samples of `rank` in step `step` (from 0).
  StepPlan plan_step(std::int64_t step, std::int64_t rank) const;

 private:
  using Order = std::vector<std::int64_t>;
  std::shared_ptr<const Order> order_of(std::int64_t epoch) const;
  Order make_order(std::int64_t epoch) const;
  Order group_by_length(Order order) const;
  std::vector<std::int64_t> batch_of(const Order& order, std::int64_t round,
                                     std::int64_t rank) const;

  SamplerOptions options_;
  std::vector<std::int32_t> lengths_;
  std::int64_t batches_ = 0, updates_ = 0;
  mutable std::mutex mutex_;  ///< guards the two below
  /// The last order asked for. Shared with callers that still read it while another epoch begins.
  mutable std::shared_ptr<const Order> cached_order_;
  mutable std::int64_t cached_epoch_ = -1;
};

}  // namespace zt::data
