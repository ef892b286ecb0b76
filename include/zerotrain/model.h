#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "zero/engine.h"
#include "zerotrain/layer.h"

namespace torch::nn {
class Module;
}

namespace zt {

/// What `initialize` trains: layers in order, the last of which gives the loss, and where their
/// initial values come from.
struct Model {
  zero::ModelParts parts;
  zero::ParamSource values;
};

/// One child of a model made of torch modules.
struct ModuleLayer {
  std::string name;  ///< before the names of its parameters
  std::shared_ptr<torch::nn::Module> module;
  /// Runs the module: x to y, or for the last one to the sum of token losses (a scalar). x is
  /// undefined for the first one, which reads the batch.
  std::function<at::Tensor(const at::Tensor& x, const Batch& batch)> forward;
  /// Shape of y; empty for the last one.
  std::function<std::vector<std::int64_t>(const BatchShape& shape)> output;
};

/// Makes one layer and one unit of each module. Initial values are those the modules hold.
/// Owns: the modules stay with the caller too, but their parameters belong to the engine from now
/// on. Errors: ConfigError for modules with buffers, Dropout or no parameters.
[[nodiscard]] Model model_from_modules(const std::vector<ModuleLayer>& modules);

}  // namespace zt
