#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"
#include "layout/layout.h"
#include "memory/view.h"

namespace zt::layer {

/// How much a layer's forward keeps for its backward. full: nothing but its input, the schedule
/// runs the forward again before the backward.
enum class Keep : std::uint8_t { all, selective };

/// The declared shape of a micro-batch. Fixed for a run; buffers are sized by it.
struct BatchShape {
  std::int64_t batch = 1;     ///< B, sequences
  std::int64_t sequence = 1;  ///< T, tokens of a sequence
  bool document_mask =
      false;  ///< attention stays inside documents; capacity of cu_seqlens is B x T + 1
  [[nodiscard]] std::int64_t tokens() const { return batch * sequence; }
};

/// One tensor that a layer asks for.
struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  DType dtype = DType::f32;
  [[nodiscard]] Numel numel() const;
  [[nodiscard]] Bytes bytes() const { return storage(numel(), dtype); }
};

/// One micro-batch on the rank's device.
struct Batch {
  at::Tensor input_ids;     ///< [B, T] int64
  at::Tensor targets;       ///< [B, T] int64; target of position t is token t + 1; -100: none
  at::Tensor position_ids;  ///< [B, T] int64; restarts at each document when document_mask
  /// [N + 1] int32 on the CPU: document starts in the flattened B x T, with 0 and B x T.
  /// Undefined without document_mask.
  at::Tensor cu_seqlens;
};

/// What every call of a layer gets besides its tensors.
struct Context {
  const Batch* batch = nullptr;
  BatchShape shape;
  DType compute = DType::f32;
  Launch launch;
  bool deterministic = false;
  /// d(step loss)/d(sum of token losses): 1 / (target tokens of the whole step on all ranks), in
  /// fp16 times the loss scale, which the optimizer takes out again.
  double loss_scale = 1.0;
  /// [1] fp32 on the device, the same value, for launches that are captured once and run in every
  /// step; undefined outside of an engine.
  at::Tensor loss_scale_on_device;
  /// [1] fp64 on the device; the loss layer adds its sum of token losses (unscaled).
  at::Tensor loss_sum;
  /// [1] int64 on the device; the loss layer's forward adds the number of targets that have the
  /// largest logit of their row. Undefined: nobody asks.
  at::Tensor hits;
};

/// Tensors of one call, in the order in which the layer declared them.
using Tensors = std::vector<at::Tensor>;

/// Arguments of a forward.
struct Forward {
  const Tensors& params;  ///< views of param_full, compute dtype
  at::Tensor x;           ///< input activation; undefined for the first layer
  /// Output activation to fill; undefined for the loss layer, and in a recomputation when
  /// can_leave_out_output.
  at::Tensor y;
  const Tensors&
      stash;  ///< to fill, as stash(shape, keep) declares (always there, if only for this call)
  const Tensors& scratch;  ///< free for use inside the call
};

/// Arguments of a backward.
struct Backward {
  const Tensors& params;
  at::Tensor x;       ///< the same input the forward saw
  at::Tensor grad_y;  ///< gradient of the output; undefined for the loss layer
  at::Tensor grad_x;  ///< to fill; undefined for the first layer
  const Tensors& stash;
  const Tensors& scratch;
  const Tensors& grads;  ///< views of grad_full; the layer ADDS to them (fp32 or compute dtype)
};

/// A stage of the model with explicit forward and backward.
///
/// A layer has no mutable state between calls: everything it keeps is in its stash. The same inputs
/// give the same bits, so a recomputed forward equals the first one.
class Layer {
 public:
  virtual ~Layer() = default;
  Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  [[nodiscard]] virtual std::string name() const = 0;
  /// Parameters it uses, as ids of the model's list, in the order of Forward::params. A parameter
  /// may be used by several layers (tied embedding).
  [[nodiscard]] virtual const std::vector<layout::ParamId>& params() const = 0;
  /// The output activation. The loss layer has none (empty shape).
  [[nodiscard]] virtual TensorSpec output(const BatchShape& shape, DType compute) const = 0;
  /// True for the last layer: forward adds the loss of the batch to Context::loss_sum. In training
  /// its forward is not scheduled: its backward computes the loss, grad_x and its gradients in one
  /// pass.
  [[nodiscard]] virtual bool gives_loss() const { return false; }
  /// False when backward needs gradients and inputs only (embedding): its unit is not gathered for
  /// it.
  [[nodiscard]] virtual bool backward_reads_params() const { return true; }
  /// True when forward and backward only launch device work and read nothing that changes from step
  /// to step on the host (loss_scale; the batch's tensors stay where they are), so that their
  /// launches may be captured once and repeated.
  [[nodiscard]] virtual bool capturable() const { return false; }
  /// True when forward takes an undefined `y` and then leaves out what only `y` needs: a forward
  /// that is repeated for its stash.
  [[nodiscard]] virtual bool can_leave_out_output() const { return false; }
  /// What a forward keeps. Keep::selective is a subset that a backward can complete.
  [[nodiscard]] virtual std::vector<TensorSpec> stash(const BatchShape& shape, DType compute,
                                                      Keep keep) const = 0;
  /// Planned temporaries of a forward and of a backward with that stash.
  [[nodiscard]] virtual std::vector<TensorSpec> forward_scratch(const BatchShape& shape,
                                                                DType compute, Keep keep) const = 0;
  [[nodiscard]] virtual std::vector<TensorSpec> backward_scratch(const BatchShape& shape,
                                                                 DType compute,
                                                                 Keep keep) const = 0;
  /// Upper estimate of what ATen allocates by itself during one call (outputs without out=,
  /// widened operands), with kernels that give the same bits on every call when `deterministic`.
  /// Counted by the plan as "library".
  [[nodiscard]] virtual Bytes library(const BatchShape& shape, DType compute, Device device,
                                      bool deterministic) const = 0;
  /// Multiply-add FLOPs (2 per multiply-add) of one forward.
  [[nodiscard]] virtual double forward_flops(const BatchShape& shape) const = 0;

  /// `keep` says which stash was declared. In evaluation and before a full recomputation the stash
  /// of Keep::all is given for the duration of the call.
  virtual void forward(const Context& context, Keep keep, const Forward& io) const = 0;
  virtual void backward(const Context& context, Keep keep, const Backward& io) const = 0;
};

}  // namespace zt::layer
