#pragma once

#include <optional>

#include "zerotrain/engine.h"

namespace zt {

/// What the engine of the public interface holds beside the one below.
struct Engine::Impl {
  /// `options`: those of the configuration.
  Impl(Model model, const Config& config_in, const zero::EngineOptions& options, Ranks& ranks_in);

  /// The batch as layers read it. Errors: ConfigError for other shapes than the planned one.
  [[nodiscard]] Batch checked_batch(const Batch& batch, const BatchShape& shape) const;
  /// Starts the step, if the caller did not, on the assumption that it then enforces.
  void prepare(const Batch& batch);
  [[nodiscard]] double mean(double loss_sum) const {
    return batch_targets > 0 ? loss_sum / static_cast<double>(batch_targets) : 0.0;
  }

  Config config;
  Ranks& ranks;
  struct {
    BatchShape train, evaluation;
  } shapes;  ///< that the engine's memory is planned for
  zero::Engine engine;
  bool told = false;                          ///< begin_step was called by the user
  std::optional<std::int64_t> first_targets;  ///< of this step's first micro-batch
  std::int64_t batch_targets = 0;
  double forward_sum = 0, forward_mean = 0;
  std::int64_t steps = 0;  ///< done, skipped ones included
};

}  // namespace zt
