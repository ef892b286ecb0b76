#pragma once

#include <memory>
#include <vector>

#include "layer/layer.h"
#include "layout/layout.h"

namespace zt::layer {

/// A model as the engine takes it: any list of layers that ends with a loss layer.
struct ModelParts {
  std::vector<layout::ParamSpec> params;
  std::vector<layout::UnitSpec> units;
  std::vector<std::unique_ptr<Layer>> layers;
};

}  // namespace zt::layer
