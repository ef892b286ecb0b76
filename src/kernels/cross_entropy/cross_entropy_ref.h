#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace zt::kernels::reference {

/// Loss of one row: log of the sum of exponentials minus the target's logit, in fp64.
inline double row_loss(const std::vector<double>& logits, std::size_t target) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double value : logits) sum += std::exp(value - largest);
  return std::log(sum) + largest - logits[target];
}

/// (softmax - onehot(target)) x scale.
inline std::vector<double> row_grad(const std::vector<double>& logits, std::size_t target,
                                    double scale) {
  std::vector<double> grad;
  for (std::size_t v = 0; v < logits.size(); ++v) {
    grad.push_back((std::exp(-row_loss(logits, v)) - (v == target ? 1.0 : 0.0)) * scale);
  }
  return grad;
}

}  // namespace zt::kernels::reference
