#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "layer/layer.h"

namespace torch::nn {
class Module;
}

namespace zt::layer {

/// What an AutogradLayer wraps.
struct AutogradOptions {
  std::string name;
  /// Shared with the caller, who built it; its parameters point into planned buffers during a call.
  std::shared_ptr<torch::nn::Module> module;
  /// Runs the module: x [as the layer before declares] to y, or for a loss to the sum of token
  /// losses, a scalar. x is undefined for the first layer.
  std::function<at::Tensor(const at::Tensor& x, const Batch& batch)> forward;
  std::vector<layout::ParamId> params;  ///< in the order of module->parameters()
  /// Shape of y; empty function: the layer gives the loss.
  std::function<std::vector<std::int64_t>(const BatchShape& shape)> output;
  double flops_per_token = 0;  ///< of a forward; 0: twice the number of parameters
};

/// A layer around any torch::nn::Module.
///
/// The forward runs without grad. The backward runs it again under autograd inside the one
/// operation, so that no autograd graph outlives a call: a graph that did would read parameter
/// views which the next gather has overwritten. Modules that draw random numbers (dropout) are
/// refused by name. Errors: ConfigError for a module with buffers, with Dropout, or whose
/// parameters do not match `params`.
class AutogradLayer final : public Layer {
 public:
  explicit AutogradLayer(AutogradOptions options);
  ~AutogradLayer() override;

  [[nodiscard]] std::string name() const override;
  [[nodiscard]] const std::vector<layout::ParamId>& params() const override;
  [[nodiscard]] TensorSpec output(const BatchShape& shape, DType compute) const override;
  [[nodiscard]] bool gives_loss() const override;
  [[nodiscard]] std::vector<TensorSpec> stash(const BatchShape&, DType, Keep) const override;
  [[nodiscard]] std::vector<TensorSpec> forward_scratch(const BatchShape&, DType,
                                                        Keep) const override;
  [[nodiscard]] std::vector<TensorSpec> backward_scratch(const BatchShape&, DType,
                                                         Keep) const override;
  [[nodiscard]] Bytes library(const BatchShape& shape, DType compute, Device device,
                              bool deterministic) const override;
  [[nodiscard]] double forward_flops(const BatchShape& shape) const override;
  void forward(const Context& context, Keep keep, const Forward& io) const override;
  void backward(const Context& context, Keep keep, const Backward& io) const override;

 private:
  AutogradOptions options_;
  std::int64_t num_elements_ = 0;
};

/// Names, shapes and decay of a module's parameters, as the engine takes them. `prefix` comes
/// before each name. Vectors (norms, biases) are not decayed.
[[nodiscard]] std::vector<layout::ParamSpec> declare_params(const torch::nn::Module& module,
                                                            const std::string& prefix);

/// The values a module holds now, one flat fp32 host tensor per parameter.
[[nodiscard]] std::vector<at::Tensor> initial_values(const torch::nn::Module& module);

}  // namespace zt::layer
