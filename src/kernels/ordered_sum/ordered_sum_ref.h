#pragma once

#include <vector>

namespace zt::kernels::reference {

/// Sum of `parts` in index order; `Real` = float is the contract bit for bit, double the accuracy
/// reference.
template <typename Real>
Real ordered_sum(const std::vector<float>& parts) {
  Real sum = static_cast<Real>(parts.front());
  for (std::size_t rank = 1; rank < parts.size(); ++rank) {
    sum = sum + static_cast<Real>(parts[rank]);
  }
  return sum;
}

}  // namespace zt::kernels::reference
