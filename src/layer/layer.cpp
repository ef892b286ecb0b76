#include "layer/layer.h"

namespace zt::layer {

Numel TensorSpec::numel() const {
  std::int64_t count = 1;
  for (const auto size : shape) count *= size;
  return {count};
}

}  // namespace zt::layer
