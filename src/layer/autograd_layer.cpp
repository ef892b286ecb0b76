#include "layer/autograd_layer.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include "base/error.h"

namespace zt::layer {
namespace {

/// Dropout would draw other numbers when the forward runs again.
bool draws_random_numbers(const torch::nn::Module& module) {
  for (const auto& child : module.modules(/*include_self=*/true)) {
    if (child->name().find("Dropout") != std::string::npos) return true;
  }
  return false;
}

/// Points the module's parameters at the views of this call.
void bind(torch::nn::Module& module, const Tensors& views) {
  const auto params = module.parameters();
  for (std::size_t i = 0; i < params.size(); ++i) params[i].set_data(views[i]);
}

void add_to_loss(const Context& context, const at::Tensor& loss) {
  at::Tensor sum = context.loss_sum;
  sum.add_(loss.detach().to(at::kDouble).reshape({1}));
}

}  // namespace

AutogradLayer::AutogradLayer(AutogradOptions options) : options_(std::move(options)) {
  const auto params = options_.module->parameters();
  if (params.size() != options_.params.size()) {
    throw ConfigError(fmt::format("[layer.autograd] {}: got {} parameter ids, expected {}.",
                                  options_.name, options_.params.size(), params.size()));
  }
  if (!options_.module->buffers().empty()) {
    throw ConfigError(
        fmt::format("[layer.autograd] {}: the module has buffers, which a second forward would "
                    "change twice. Make "
                    "them parameters or constants of its forward.",
                    options_.name));
  }
  if (draws_random_numbers(*options_.module)) {
    throw ConfigError(
        fmt::format("[layer.autograd] {}: Dropout is not built: its second forward would drop "
                    "others. Remove it.",
                    options_.name));
  }
  for (const auto& param : params) num_elements_ += param.numel();
}

AutogradLayer::~AutogradLayer() = default;

std::string AutogradLayer::name() const { return options_.name; }

const std::vector<layout::ParamId>& AutogradLayer::params() const { return options_.params; }

TensorSpec AutogradLayer::output(const BatchShape& shape, DType compute) const {
  if (gives_loss()) return {"loss", {}, compute};
  return {"y", options_.output(shape), compute};
}

bool AutogradLayer::gives_loss() const { return !options_.output; }

std::vector<TensorSpec> AutogradLayer::stash(const BatchShape&, DType, Keep) const { return {}; }
std::vector<TensorSpec> AutogradLayer::forward_scratch(const BatchShape&, DType, Keep) const {
  return {};
}
std::vector<TensorSpec> AutogradLayer::backward_scratch(const BatchShape&, DType, Keep) const {
  return {};
}

Bytes AutogradLayer::library(const BatchShape& shape, DType compute, Device, bool) const {
  // Not known without running the module: gradients of all parameters, and about ten activations of
  // the size of the output.
  const Numel activations =
      gives_loss() ? Numel{shape.tokens()} : output(shape, compute).numel() * 10;
  return storage(Numel{num_elements_} + activations, compute);
}

double AutogradLayer::forward_flops(const BatchShape& shape) const {
  const double per_token = options_.flops_per_token > 0 ? options_.flops_per_token
                                                        : 2.0 * static_cast<double>(num_elements_);
  return per_token * static_cast<double>(shape.tokens());
}

void AutogradLayer::forward(const Context& context, Keep, const Forward& io) const {
  const torch::NoGradGuard no_grad;
  bind(*options_.module, io.params);
  const at::Tensor y = options_.forward(io.x, *context.batch);
  if (gives_loss()) {
    add_to_loss(context, y);
  } else {
    at::Tensor(io.y).copy_(y);
  }
}

void AutogradLayer::backward(const Context& context, Keep, const Backward& io) const {
  at::Tensor y, x;
  std::vector<at::Tensor> wanted, grads;
  bind(*options_.module, io.params);
  {
    const torch::AutoGradMode with_grad(true);
    if (io.x.defined()) {
      x = io.x.detach().requires_grad_(true);
      wanted.push_back(x);
    }
    for (const auto& param : options_.module->parameters()) wanted.push_back(param);
    y = options_.forward(x, *context.batch);
    const at::Tensor grad_y = gives_loss() ? at::full_like(y, context.loss_scale) : io.grad_y;
    grads = torch::autograd::grad({y}, wanted, {grad_y}, /*retain_graph=*/false,
                                  /*create_graph=*/false, /*allow_unused=*/true);
  }
  if (gives_loss()) add_to_loss(context, y);
  std::size_t next = 0;
  if (x.defined()) {
    at::Tensor grad_x = io.grad_x;
    if (grads[next].defined()) {
      grad_x.copy_(grads[next]);
    } else {
      grad_x.zero_();
    }
    ++next;
  }
  for (std::size_t i = 0; i < io.grads.size(); ++i, ++next) {
    at::Tensor grad = io.grads[i];
    if (grads[next].defined()) grad.add_(grads[next]);
  }
}

std::vector<layout::ParamSpec> declare_params(const torch::nn::Module& module,
                                              const std::string& prefix) {
  std::vector<layout::ParamSpec> specs;
  for (const auto& item : module.named_parameters()) {
    layout::ParamSpec spec;
    spec.name = prefix + item.key();
    spec.shape = item.value().sizes().vec();
    spec.decay = spec.shape.size() > 1;
    specs.push_back(std::move(spec));
  }
  return specs;
}

std::vector<at::Tensor> initial_values(const torch::nn::Module& module) {
  std::vector<at::Tensor> values;
  for (const auto& param : module.parameters()) {
    values.push_back(param.detach().to(at::kCPU, at::kFloat).flatten().contiguous());
  }
  return values;
}

}  // namespace zt::layer
