#pragma once

#include <vector>

namespace zt::kernels::reference {

/// Sum of squares in fp64, in index order.
inline double sum_of_squares(const std::vector<float>& grad) {
  double sum = 0;
  for (const float value : grad) {
    sum += static_cast<double>(value) * static_cast<double>(value);
  }
  return sum;
}

}  // namespace zt::kernels::reference
