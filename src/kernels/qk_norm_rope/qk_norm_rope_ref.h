#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels/rms_norm/rms_norm_ref.h"

namespace zt::kernels::reference {

/// One head in fp64: RMSNorm over its elements (when `weight` is not empty), then the rotation of
/// each pair (i, i + D/2) by position x theta^(-2i/D). Source: RoFormer (Su et al., 2021),
/// half-split pairing.
struct RopeHead {
  std::vector<double> weight;
  double epsilon, theta, position;

  [[nodiscard]] std::vector<double> rotate(const std::vector<double>& x, double direction) const {
    const auto half = x.size() / 2;
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < half; ++i) {
      const double angle =
          position * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(x.size()));
      const double c = std::cos(angle);
      const double s = std::sin(angle) * direction;
      y[i] = x[i] * c - x[half + i] * s;
      y[half + i] = x[half + i] * c + x[i] * s;
    }
    return y;
  }
  [[nodiscard]] std::vector<double> forward(const std::vector<double>& x) const {
    if (weight.empty()) return rotate(x, 1);
    return rotate(RmsNorm{1, x.size(), epsilon}.forward(x, weight), 1);
  }
  /// The rotation's transpose is the rotation back.
  [[nodiscard]] RmsNorm::Grads backward(const std::vector<double>& x,
                                        const std::vector<double>& grad) const {
    const auto back = rotate(grad, -1);
    if (weight.empty()) return {back, {}};
    return RmsNorm{1, x.size(), epsilon}.backward(x, weight, back);
  }
};

}  // namespace zt::kernels::reference
