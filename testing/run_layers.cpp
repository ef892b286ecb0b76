#include "testing/run_layers.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "memory/torch_dtype.h"

namespace zt::testing {
namespace {

using layer::Tensors;
using layer::TensorSpec;
using memory::scalar_type;

Tensors allocate(const std::vector<TensorSpec>& specs) {
  Tensors result;
  for (const auto& spec : specs) result.push_back(at::empty(spec.shape, scalar_type(spec.dtype)));
  return result;
}

Tensors pick(const layer::Layer& layer, const std::vector<at::Tensor>& all) {
  Tensors result;
  for (const auto id : layer.params()) result.push_back(all.at(static_cast<std::size_t>(id.value)));
  return result;
}

}  // namespace

std::vector<at::Tensor> flatten_params(const layer::ModelParts& model, at::ScalarType dtype) {
  const auto layout = layout::ModelLayout::make(model.params, model.units, 1);
  std::vector<at::Tensor> result(model.params.size());
  for (const auto& unit : layout.units) {
    const auto flat = at::zeros({unit.padded().value}, unit.keep_fp32() ? at::kFloat : dtype);
    for (std::size_t i = 0; i < unit.unit().params.size(); ++i) {
      const auto p = static_cast<std::size_t>(unit.unit().params[i].value);
      result[p] =
          flat.narrow(0, unit.offset(i).value, unit.numel(i).value).view(model.params[p].shape);
    }
  }
  return result;
}

LayersResult run_layers(const layer::ModelParts& model, const std::vector<at::Tensor>& params,
                        const layer::Context& given, layer::Keep keep) {
  LayersResult result;
  result.grads = flatten_params(model, at::kFloat);
  auto context = given;
  context.loss_sum = at::zeros({1}, at::kDouble);
  std::vector<at::Tensor> activations;
  std::vector<Tensors> stashes;
  at::Tensor x;
  for (const auto& layer : model.layers) {
    stashes.push_back(allocate(layer->stash(context.shape, context.compute, keep)));
    if (layer->gives_loss()) break;
    const auto spec = layer->output(context.shape, context.compute);
    const auto y = at::empty(spec.shape, scalar_type(spec.dtype));
    const auto scratch = allocate(layer->forward_scratch(context.shape, context.compute, keep));
    layer->forward(context, keep, {pick(*layer, params), x, y, stashes.back(), scratch});
    activations.push_back(y);
    x = y;
  }
  result.hidden = x;
  at::Tensor grad_y;
  for (auto l = static_cast<std::ptrdiff_t>(model.layers.size()) - 1; l >= 0; --l) {
    const auto i = static_cast<std::size_t>(l);
    const auto& layer = *model.layers[i];
    const auto input = l > 0 ? activations[i - 1] : at::Tensor();
    const auto grad_x = l > 0 ? at::empty_like(input) : at::Tensor();
    const auto scratch = allocate(layer.backward_scratch(context.shape, context.compute, keep));
    layer.backward(context, keep,
                   {pick(layer, params), input, grad_y, grad_x, stashes[i], scratch,
                    pick(layer, result.grads)});
    grad_y = grad_x;
  }
  result.loss_sum = context.loss_sum.item<double>();
  return result;
}

}  // namespace zt::testing
