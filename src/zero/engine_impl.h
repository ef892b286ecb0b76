#pragma once

#include <memory>
#include <optional>

#include "optim/loss_scaler.h"
#include "zero/binding.h"
#include "zero/engine.h"
#include "zero/executor.h"
#include "zero/state_io.h"

namespace zt::zero {

/// What an engine holds. `machine` points into the other members; the engine does not move.
struct Engine::Impl {
  Impl(ModelParts model_in, EngineOptions options_in, const RankContext& context);

  [[nodiscard]] memory::HostMemory host_memory() const;
  /// Refuses what the machine has no host memory for, before any rank reserves it. Collective.
  void require_host_memory(const RankContext& context) const;
  /// Keeps libraries inside what --gpu_memory leaves them.
  void limit_library() const;
  void require(bool condition, const char* what) const;
  [[nodiscard]] schedule::VariantKind variant() const;
  [[nodiscard]] Scalars scalars() const { return scalars_of(machine, program.scalars); }
  /// Copies fp64 values from the device; blocks the host until compute and communication are done.
  [[nodiscard]] std::vector<double> read(double* device_values, std::int64_t count);
  /// Whose loss and which units' gradients are not finite, after the boundary of a step.
  [[nodiscard]] std::string describe_not_finite(const std::vector<double>& losses);
  /// Puts 1 / loss scale where the clip factor is computed; blocks the host.
  void upload_inverse_scale();
  /// Moves the fp16 loss scale on after a step and notes both scales in the result.
  void update_loss_scale(StepResult& result);
  /// `to`: of `state`, what the operations read.
  void set_batch(const layer::Batch& batch, layer::Batch& to, double* loss_sum);
  /// Tensors that batches are copied into, so that captured launches find them.
  void make_batch_buffers();
  /// Writes what this step's optimizer launches read.
  void publish_optimizer_scalars(double learning_rate);
  /// Writes the loss scale of the step for captured launches.
  void publish_loss_scale();

  /// Publishes what the last step updated, unless the step after it has done so already.
  /// Collective.
  void settle();

  // graphs.cpp
  /// Runs a variant: operation by operation in the first step, which warms everything up, then as a
  /// graph where that is possible on every rank.
  void run(schedule::VariantKind kind);
  [[nodiscard]] bool capture_on_all_ranks(schedule::VariantKind kind);
  void note_times(schedule::VariantKind kind, double begin);
  /// The whole unit in host memory, in the compute dtype, at rank 0; collective.
  void export_unit(int unit, const ParamSink& sink);
  /// Blocks until a snapshot under way has been copied, and adds up the time.
  void wait_for_snapshot();

  ModelParts model;
  EngineOptions options;
  layout::ModelLayout layout;
  schedule::Program program;
  Machine machine;
  StepState state;
  std::unique_ptr<Executor> executor;
  std::optional<optim::LossScaler> scaler;  ///< fp16 only
  std::int64_t applied = 0;                 ///< optimizer steps
  std::int64_t target_tokens = 0;           ///< of the current step; 0: no step begun
  int micro = 0;                            ///< micro-steps done of the current step
  bool in_forward = false;                  ///< between forward and backward
  bool unpublished = false;                 ///< parameters, since the last boundary
  bool graphs = false;                      ///< variants may run as graphs
  bool loaded = false;                      ///< parameters or a checkpoint
  bool shared = false;                      ///< the communicator copies into the device arena
  std::int64_t steps = 0;                   ///< done, skipped ones too
  std::vector<layer::Batch> sources;  ///< whose copies may be on their way; until the step's end
  std::vector<MeasuredList> measured;
  double forward_loss = 0;
  double snapshot_seconds = 0;              ///< waited for copies since take_snapshot_wait
  std::unique_ptr<StateSnapshot> snapshot;  ///< last: its copies end before what they read goes
};

}  // namespace zt::zero
