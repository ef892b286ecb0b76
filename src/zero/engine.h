#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/position.h"
#include "config/config.h"
#include "layer/layer.h"
#include "layer/model_parts.h"
#include "layout/layout.h"
#include "layout/training_state.h"
#include "optim/loss_scaler_state.h"
#include "schedule/build.h"
#include "zero/host_rates.h"

namespace zt::zero {

using layer::ModelParts;

/// What a rank is and runs on. Owns nothing; everything outlives the engine.
struct RankContext {
  comm::Communicator* communicator = nullptr;
  Device device = Device::cpu;
  int device_index = 0;
  comm::PositionWriter* position = nullptr;  ///< hears which operation the rank is at; may be null
  int local_rank = 0, local_world = 1;       ///< among the ranks that share this host's cores
};

struct EngineOptions {
  config::ZeroConfig zero;
  config::PrecisionConfig precision;
  config::OptimizerConfig optimizer;
  layer::BatchShape shape;  ///< of every micro-step
  int micro_steps = 1;      ///< per step
  std::int64_t eval_batch =
      0;  ///< sequences of an evaluation batch; 0: as many as a micro-step has
  /// Most a rank may take of its GPU, everything counted; 0: all of it. What libraries want beyond
  /// it is an out-of-memory error.
  Bytes device_limit;
  /// Most that the ranks of a machine may take of its host memory together; absent: what its
  /// cgroups leave.
  std::optional<Bytes> host_limit;

  [[nodiscard]] layer::BatchShape eval_shape() const {
    return {eval_batch > 0 ? eval_batch : shape.batch, shape.sequence, shape.document_mask};
  }
};

/// What a step did.
struct StepResult {
  double loss = 0;             ///< sum of token losses of the step over all ranks / their count
  double grad_norm = 0;        ///< global, before clipping
  bool skipped = false;        ///< not finite: parameters, moments and the step count are untouched
  std::string cause;           ///< of a skipped step: ranks and units that are not finite
  double loss_scale = 0;       ///< fp16: the one of this step's gradients; else 0
  double next_loss_scale = 0;  ///< fp16: the one of the coming step; else 0
};

/// What one rank found in one batch of an evaluation.
struct EvaluatedBatch {
  double loss_sum = 0;    ///< over tokens
  std::int64_t hits = 0;  ///< targets that have the largest logit of their row
};

/// One operation of a measured list: seconds since the list began.
struct MeasuredOperation {
  schedule::OpKind kind = schedule::OpKind::release;
  schedule::Stream stream = schedule::Stream::compute;
  std::string name;  ///< `backward L7`
  double begin = 0, end = 0;
};

/// One run of a variant.
struct MeasuredList {
  schedule::VariantKind variant = schedule::VariantKind::only;
  bool graph = false;
  double begin = 0;  ///< host clock, seconds
  std::vector<MeasuredOperation> operations;
};

/// Where initial values come from: fills `values` (fp32, host) with elements
/// [begin, begin + values.size()) of a parameter. Called only for what this rank keeps.
using ParamSource =
    std::function<void(layout::ParamId id, std::int64_t begin, std::span<float> values)>;

/// Receives one whole parameter in host memory (rank 0 only), in unit order.
using ParamSink = std::function<void(layout::ParamId id, const View& values)>;

struct StateReader;
struct LoadedState;
class StateSnapshot;
/// Receives a piece of this rank's training state in host memory; see zero/state_io.h.
using StateSink = std::function<void(const layout::StateSlice& slice, const View& values)>;

/// Trains one model with ZeRO on this rank: holds its part of parameters, gradients and optimizer
/// states, and executes the schedule.
///
/// One step: begin_step, then micro_steps times micro_step (or forward + backward), then step.
/// All ranks call the same functions in the same order.
/// Errors: ConfigError when the options contradict each other; DeviceError when memory does not
/// suffice; CommError when a peer fails or ranks have different schedules; InternalError on misuse.
/// Source: ZeRO (Rajbhandari et al., 2020).
class Engine {
 public:
  Engine(ModelParts model, EngineOptions options, const RankContext& context);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Fills parameters (and fp32 masters) and zeroes the moments.
  void load_params(const ParamSource& source);
  /// Gathers unit after unit; `sink` gets every parameter, in the compute dtype, on rank 0. What it
  /// got is to be used only once this has returned: an error says that not every rank sent its
  /// part.
  void export_params(const ParamSink& sink);

  /// Fills parameters, masters and moments from a checkpoint that any world size, stage or offload
  /// setting may have written, and continues after `applied_steps` optimizer steps. Collective.
  LoadedState load_state(const StateReader& reader, std::int64_t applied_steps);
  /// Gives this rank's part of the training state to `sink`, in unit order. All ranks together give
  /// every element exactly once. Host memory: 64 MiB with CUDA, none on the CPU.
  void export_state(const StateSink& sink);
  /// Reserves host memory for a copy of this rank's part, once; page-locking takes seconds.
  StateSnapshot& prepare_snapshot();
  /// Starts to copy this rank's part beside the coming forward and backward passes; the next `step`
  /// waits for it before it changes anything. The snapshot before is overwritten.
  StateSnapshot& start_snapshot();
  /// Seconds that steps have waited for snapshots since the last call.
  [[nodiscard]] double take_snapshot_wait();

  /// Starts a step. `target_tokens`: targets that are not -100 in all its micro-steps on all ranks.
  void begin_step(std::int64_t target_tokens);
  /// Forward and backward of one micro-batch. Returns nothing: the loss is read with the step. On
  /// CUDA its tensors may lie on the device or in host memory; they are kept until the step ends.
  void micro_step(const layer::Batch& batch);
  /// The same in two calls. forward returns this rank's sum of token losses of the batch (blocks
  /// the host).
  double forward(const layer::Batch& batch);
  /// Errors: InternalError when `loss` is not the value the last forward returned, or without a
  /// forward.
  void backward(double loss);
  /// Norm, clipping, optimizer, publication of the parameters; in fp16 also the loss scale of the
  /// coming step. Errors: Error when a gradient is not finite at the smallest loss scale.
  StepResult step(double learning_rate);
  /// This rank's sum of token losses of one batch, without gradients. Blocks the host.
  double evaluate(const layer::Batch& batch);
  /// The same, and how many targets have the largest logit of their row.
  EvaluatedBatch evaluate_tokens(const layer::Batch& batch);

  /// Optimizer steps applied so far (skipped ones do not count).
  [[nodiscard]] std::int64_t applied_steps() const;
  /// What a checkpoint of an fp16 run keeps beside the shards; absent in fp32 and bf16.
  [[nodiscard]] std::optional<optim::LossScalerState> loss_scaler_state() const;
  /// Goes on with the scale of a checkpoint; without effect in fp32 and bf16, which have none, and
  /// with a static scale. Between steps only. Errors: CheckpointError for a state that cannot be.
  void set_loss_scaler_state(const optim::LossScalerState& saved);
  [[nodiscard]] const schedule::Program& program() const;
  [[nodiscard]] const layout::ModelLayout& layout() const;
  /// The operation that runs now, for reports of a hang: `backward L7 (middle, 41 of 120)`.
  /// Thread-safe.
  [[nodiscard]] std::string position() const;
  /// Names of what RankContext::position is told, for reports; independent of the engine's life.
  [[nodiscard]] comm::OperationNames operation_names() const;
  /// Measures what copies, the host's optimizer, disks and products reach. Before parameters or a
  /// checkpoint are loaded; the ranks of a machine call it together, so that they share it.
  [[nodiscard]] HostRates measure_host();
  /// Most bytes ATen held at once beside the arenas ("library" of the plan); CUDA only, else 0.
  [[nodiscard]] Bytes library_peak() const;
  /// Whether micro-steps and boundaries run as CUDA graphs after the first step.
  [[nodiscard]] bool uses_graphs() const;

  /// From now on every variant is measured and the host waits for each: slower, for traces.
  void measure_operations(bool on);
  /// What was measured since the last call.
  std::vector<MeasuredList> take_measured();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Hash over every parameter's bytes, equal on rank 0 for equal parameters, whatever the stage.
/// Collective.
std::uint64_t hash_params(Engine& engine);

}  // namespace zt::zero
