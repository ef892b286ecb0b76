#include "zero/bind_layers.h"

#include <algorithm>

#include "kernels/cast/cast.h"
#include "zero/residency.h"

namespace zt::zero {
namespace {

using layer::Keep;
using layer::Tensors;
using schedule::BufferId;
using schedule::BufferKind;
using schedule::Operation;
using schedule::OpKind;

/// Finds the operation's buffers by what they are.
class Finder {
 public:
  Finder(const Machine& machine, const Operation& op) : machine_(machine), op_(op) {}

  /// The buffer of that kind and index among reads or writes; invalid when there is none.
  [[nodiscard]] BufferId find(BufferKind kind, int index) const {
    for (const auto* list : {&op_.reads, &op_.writes}) {
      for (const auto id : *list) {
        const auto& buffer = machine_.program->buffer(id);
        if (buffer.kind == kind && buffer.index == index) return id;
      }
    }
    return {};
  }

  [[nodiscard]] at::Tensor tensor(BufferKind kind, int index, const layer::TensorSpec& spec) const {
    const auto id = find(kind, index);
    return id.valid() ? machine_.tensor(machine_.view(id).data, spec.shape, spec.dtype)
                      : at::Tensor();
  }

  /// The tensors packed in one buffer, as packed_bytes lays them out.
  [[nodiscard]] Tensors unpack(BufferKind kind, const std::vector<layer::TensorSpec>& specs) const {
    Tensors result;
    const auto id = find(kind, op_.layer);
    if (!id.valid()) return result;
    auto* base = static_cast<std::byte*>(machine_.view(id).data);
    std::int64_t end = 0;
    for (const auto& spec : specs) {
      constexpr std::int64_t kTensorAlignment = 256;
      const auto begin = round_up(end, kTensorAlignment);
      result.push_back(machine_.tensor(base + begin, spec.shape, spec.dtype));
      end = begin + spec.bytes().value;
    }
    return result;
  }

  /// Views of a layer's parameters inside the flat buffers of their units; undefined where absent.
  [[nodiscard]] Tensors params(const layer::Layer& layer, BufferKind kind) const {
    Tensors result;
    const auto& layout = *machine_.layout;
    for (const auto param : layer.params()) {
      const auto p = static_cast<std::size_t>(param.value);
      const int unit = layout.unit_of.at(p).value;
      const auto id = find(kind, unit);
      if (!id.valid()) {
        result.emplace_back();
        continue;
      }
      const auto i = layout.index_in_unit.at(p);
      const auto& unit_layout = layout.units.at(static_cast<std::size_t>(unit));
      const auto part =
          machine_.view(id).slice(unit_layout.offset(i).value, unit_layout.numel(i).value);
      result.push_back(machine_.tensor(part.data, layout.params.at(p).shape, part.dtype));
    }
    return result;
  }

 private:
  const Machine& machine_;
  const Operation& op_;
};

struct BoundForward {
  Tensors params, stash, scratch;
  at::Tensor x, y;
};

struct BoundBackward {
  Tensors params, stash, scratch, grads;
  at::Tensor x, grad_y, grad_x;
  std::vector<View> fresh;  ///< gradients that begin here: zeroed first
};

const layer::Layer& layer_at(const Machine& machine, int index) {
  return *machine.model->layers.at(static_cast<std::size_t>(index));
}

layer::TensorSpec activation(const Machine& machine, int index, const layer::BatchShape& shape) {
  return layer_at(machine, index).output(shape, machine.options->precision.compute);
}

memory::Queues::Work bind_forward(const Machine& machine, const Operation& op,
                                  const layer::BatchShape& shape, StepState& state) {
  const auto& layer = layer_at(machine, op.layer);
  const auto compute = machine.options->precision.compute;
  const Finder finder(machine, op);
  const bool kept = std::none_of(op.ends.begin(), op.ends.end(), [&](BufferId id) {
    return machine.program->buffer(id).kind == BufferKind::stash;
  });
  const bool selective =
      kept && machine.options->zero.recompute.value_or(Recompute::none) == Recompute::selective;
  const auto keep = selective ? Keep::selective : Keep::all;
  BoundForward bound;
  bound.params = finder.params(layer, BufferKind::param_full);
  bound.stash = finder.unpack(BufferKind::stash, layer.stash(shape, compute, keep));
  bound.scratch = finder.unpack(BufferKind::scratch, layer.forward_scratch(shape, compute, keep));
  if (op.layer > 0) {
    bound.x = finder.tensor(BufferKind::activation, op.layer - 1,
                            activation(machine, op.layer - 1, shape));
  }
  const bool without_output = op.kind == OpKind::recompute && layer.can_leave_out_output();
  if (!layer.gives_loss() && !without_output) {
    bound.y = finder.tensor(BufferKind::activation, op.layer, activation(machine, op.layer, shape));
  }
  return [&layer, &state, keep, shape, bound = std::move(bound)](const Launch& launch) {
    auto context = state.context;
    context.shape = shape;
    context.launch = launch;
    layer.forward(context, keep, {bound.params, bound.x, bound.y, bound.stash, bound.scratch});
  };
}

memory::Queues::Work bind_backward(const Machine& machine, const Operation& op, StepState& state) {
  const auto& layer = layer_at(machine, op.layer);
  const auto& shape = machine.options->shape;
  const auto compute = machine.options->precision.compute;
  const Finder finder(machine, op);
  const auto keep =
      machine.options->zero.recompute.value_or(Recompute::none) == Recompute::selective
          ? Keep::selective
          : Keep::all;
  BoundBackward bound;
  bound.params = finder.params(layer, BufferKind::param_full);
  bound.grads = finder.params(layer, BufferKind::grad_full);
  bound.stash = finder.unpack(BufferKind::stash, layer.stash(shape, compute, keep));
  bound.scratch = finder.unpack(BufferKind::scratch, layer.backward_scratch(shape, compute, keep));
  if (op.layer > 0) {
    const auto spec = activation(machine, op.layer - 1, shape);
    bound.x = finder.tensor(BufferKind::activation, op.layer - 1, spec);
    bound.grad_x = finder.tensor(BufferKind::grad_activation, op.layer - 1, spec);
  }
  if (!layer.gives_loss()) {
    bound.grad_y =
        finder.tensor(BufferKind::grad_activation, op.layer, activation(machine, op.layer, shape));
  }
  for (const auto id : op.starts) {
    if (machine.program->buffer(id).kind == BufferKind::grad_full)
      bound.fresh.push_back(machine.view(id));
  }
  return [&layer, &state, keep, bound = std::move(bound)](const Launch& launch) {
    auto context = state.context;
    context.launch = launch;
    for (const auto& grad : bound.fresh) kernels::fill_zero(grad, launch);
    layer.backward(context, keep,
                   {bound.params, bound.x, bound.grad_y, bound.grad_x, bound.stash, bound.scratch,
                    bound.grads});
  };
}

}  // namespace

memory::Queues::Work bind_layer(const Machine& machine, schedule::VariantKind variant,
                                const Operation& op, StepState& state) {
  if (op.kind == OpKind::backward) return bind_backward(machine, op, state);
  const bool evaluation = variant == schedule::VariantKind::evaluation;
  return bind_forward(machine, op,
                      evaluation ? machine.options->eval_shape() : machine.options->shape, state);
}

}  // namespace zt::zero
