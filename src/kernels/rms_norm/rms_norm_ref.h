#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace zt::kernels::reference {

/// RMSNorm of rows in fp64, without intermediate roundings.
struct RmsNorm {
  std::size_t rows, cols;
  double epsilon;

  [[nodiscard]] double rstd(const std::vector<double>& x, std::size_t row) const {
    double squares = 0;
    for (std::size_t c = 0; c < cols; ++c) squares += x[row * cols + c] * x[row * cols + c];
    return 1 / std::sqrt(squares / static_cast<double>(cols) + epsilon);
  }

  [[nodiscard]] std::vector<double> forward(const std::vector<double>& x,
                                            const std::vector<double>& weight) const {
    std::vector<double> y(x.size());
    for (std::size_t row = 0; row < rows; ++row) {
      const double scale = rstd(x, row);
      for (std::size_t c = 0; c < cols; ++c)
        y[row * cols + c] = x[row * cols + c] * scale * weight[c];
    }
    return y;
  }

  struct Grads {
    std::vector<double> x, weight;
  };
  /// d/dx_i = rstd (w_i g_i - n_i mean_j(w_j g_j n_j)) with n = x rstd; d/dw_i = sum over rows of
  /// g_i n_i.
  [[nodiscard]] Grads backward(const std::vector<double>& x, const std::vector<double>& weight,
                               const std::vector<double>& grad) const {
    Grads result{std::vector<double>(x.size()), std::vector<double>(cols)};
    for (std::size_t row = 0; row < rows; ++row) {
      const double scale = rstd(x, row);
      double dot = 0;
      for (std::size_t c = 0; c < cols; ++c) {
        const auto i = row * cols + c;
        dot += weight[c] * grad[i] * x[i] * scale;
        result.weight[c] += grad[i] * x[i] * scale;
      }
      for (std::size_t c = 0; c < cols; ++c) {
        const auto i = row * cols + c;
        result.x[i] =
            scale * (weight[c] * grad[i] - x[i] * scale * dot / static_cast<double>(cols));
      }
    }
    return result;
  }
};

}  // namespace zt::kernels::reference
