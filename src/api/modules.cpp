#include <fmt/format.h>

#include <cstring>

#include "layer/autograd_layer.h"
#include "zerotrain/model.h"

namespace zt {

Model model_from_modules(const std::vector<ModuleLayer>& modules) {
  Model model;
  std::vector<at::Tensor> initial;
  for (const auto& child : modules) {
    layer::AutogradOptions options;
    options.name = child.name;
    options.module = child.module;
    options.forward = child.forward;
    options.output = child.output;
    for (auto& spec : layer::declare_params(*child.module, child.name + ".")) {
      options.params.push_back({static_cast<int>(model.parts.params.size())});
      model.parts.params.push_back(std::move(spec));
    }
    if (!options.params.empty()) model.parts.units.push_back({child.name, options.params});
    for (auto& values : layer::initial_values(*child.module)) initial.push_back(std::move(values));
    model.parts.layers.push_back(std::make_unique<layer::AutogradLayer>(std::move(options)));
  }
  model.values = [initial](ParamId id, std::int64_t begin, std::span<float> values) {
    const auto* from = initial.at(static_cast<std::size_t>(id.value)).const_data_ptr<float>();
    std::memcpy(values.data(), from + begin, values.size_bytes());
  };
  return model;
}

}  // namespace zt
