#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace zt::kernels::reference {

/// Depthwise causal convolution with SiLU in fp64. Vectors are packed: x, grad_y [rows * tokens *
/// channels], weight [channels * width]; bias and resets may be empty.
struct CausalConv1d {
  std::size_t rows, tokens, channels, width;

  struct Inputs {
    std::vector<double> x, weight, bias;
    std::vector<bool> resets;
  };
  struct Grads {
    std::vector<double> x, weight, bias;
  };

  /// Whether token `token` sees the one `back` tokens before it.
  [[nodiscard]] bool sees(const Inputs& in, std::size_t token, std::size_t back) const {
    if (token % tokens < back) return false;
    for (std::size_t j = 0; j < back; ++j) {
      if (!in.resets.empty() && in.resets[token - j]) return false;
    }
    return true;
  }
  [[nodiscard]] double before_silu(const Inputs& in, std::size_t token, std::size_t d) const {
    double sum = in.bias.empty() ? 0 : in.bias[d];
    for (std::size_t back = 0; back < width && sees(in, token, back); ++back) {
      sum += in.weight[d * width + width - 1 - back] * in.x[(token - back) * channels + d];
    }
    return sum;
  }
  [[nodiscard]] std::vector<double> forward(const Inputs& in) const {
    std::vector<double> y(in.x.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double p = before_silu(in, i / channels, i % channels);
      y[i] = p / (1 + std::exp(-p));
    }
    return y;
  }
  [[nodiscard]] Grads backward(const Inputs& in, const std::vector<double>& grad_y) const {
    Grads grads{std::vector<double>(in.x.size()), std::vector<double>(in.weight.size()),
                std::vector<double>(channels)};
    for (std::size_t i = 0; i < in.x.size(); ++i) {
      const auto token = i / channels, d = i % channels;
      const double p = before_silu(in, token, d);
      const double s = 1 / (1 + std::exp(-p));
      const double grad = grad_y[i] * (s + p * s * (1 - s));
      grads.bias[d] += grad;
      for (std::size_t back = 0; back < width && sees(in, token, back); ++back) {
        const auto tap = d * width + width - 1 - back;
        grads.weight[tap] += grad * in.x[(token - back) * channels + d];
        grads.x[(token - back) * channels + d] += grad * in.weight[tap];
      }
    }
    return grads;
  }
};

}  // namespace zt::kernels::reference
