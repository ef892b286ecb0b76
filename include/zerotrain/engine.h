#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "zerotrain/config.h"
#include "zerotrain/model.h"
#include "zerotrain/ranks.h"

namespace zt {

/// What a step did: loss over all ranks, gradient norm before clipping, whether it was skipped.
using zero::StepResult;

/// Trains a model with ZeRO. Made by `initialize`; all ranks call the same functions in the same
/// order.
///
///     auto engine = zt::initialize(std::move(model), config, ranks);
///     for (...) {                                  // gradient_accumulation_steps times
///       const double loss = engine.micro_step(batch);   // or forward(batch), backward(loss)
///     }
///     engine.step();
///
/// Errors: ConfigError, CommError, DeviceError as they occur; InternalError for calls out of order.
class Engine {
 public:
  Engine(Model model, const Config& config, Ranks& ranks);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  /// Says how many targets (not -100) all micro-batches of the coming step have on all ranks.
  /// Without it each micro-batch of a rank must have as many targets as its first one of the step.
  void begin_step(std::int64_t target_tokens);
  /// Forward and backward of one micro-batch. Returns its mean token loss on this rank; blocks the
  /// host to read it. Errors: ConfigError when targets are as uneven as begin_step's comment says,
  /// and for a batch of another shape or dtype than planned (nothing has run then).
  double micro_step(const Batch& batch);
  /// The same in two calls. Errors: InternalError when `loss` is not the one forward returned.
  double forward(const Batch& batch);
  void backward(double loss);
  /// Optimizer step at the schedule's learning rate of the configuration, or at the given one.
  StepResult step();
  StepResult step(double learning_rate);
  /// Mean token loss of a batch on this rank, without gradients.
  [[nodiscard]] double evaluate(const Batch& batch);

  /// Saves weights, masters, moments and counters into `<dir>/checkpoint-<global_steps>`; any
  /// number of ranks, stage and offload setting can go on from it, and `zt train
  /// --resume_from_checkpoint` too. Returns the folder. Collective, between steps; blocks. Errors:
  /// CheckpointError on all ranks; earlier checkpoints are untouched then.
  std::string save_checkpoint(const std::string& dir);
  /// Goes on from the newest whole checkpoint in `dir`, or from the checkpoint that `dir` is: one
  /// of ours or one that DeepSpeed wrote. Every byte is verified first; a line of rank 0's log per
  /// checkpoint that was passed over says why. Returns its folder; empty: there is none, nothing
  /// changed. Collective, between steps. Errors: CheckpointError on all ranks for one that does not
  /// fit the model.
  std::string load_checkpoint(const std::string& dir);
  /// Steps done, those before a checkpoint that was loaded and skipped ones included.
  [[nodiscard]] std::int64_t global_steps() const;

  /// The engine below: parameters in and out, the schedule, memory.
  [[nodiscard]] zero::Engine& core();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Builds the engine and fills its parameters from the model's initial values. The batch shape is
/// config.run.per_device_train_batch_size x config.data.block_size, the number of micro-steps
/// config.run.gradient_accumulation_steps. `ranks` outlives the engine.
/// Errors: ConfigError when options contradict each other.
[[nodiscard]] Engine initialize(Model model, const Config& config, Ranks& ranks);

}  // namespace zt
