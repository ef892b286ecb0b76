#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace zt::kernels::reference {

/// The selective scan in fp64, one token after the other. Vectors are packed: u, delta, z, grad_y
/// [rows * tokens * channels], b, c [rows * tokens * states]; z, bias and resets may be empty.
struct SelectiveScan {
  std::size_t rows, tokens, channels, states;

  struct Inputs {
    std::vector<double> u, delta, b, c, z, a_log, skip, bias;
    std::vector<bool> resets;
  };
  struct Outputs {
    std::vector<double> y, ungated, h;  ///< h [rows * tokens * channels * states], after each token
  };
  struct Grads {
    std::vector<double> u, delta, b, c, z, a_log, skip, bias;
  };

  static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
  static double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

  [[nodiscard]] double raw_delta(const Inputs& in, std::size_t i) const {
    return in.delta[i] + (in.bias.empty() ? 0 : in.bias[i % channels]);
  }
  /// Whether the state before token `token` (counted over all rows) is zero.
  [[nodiscard]] bool starts(const Inputs& in, std::size_t token) const {
    return token % tokens == 0 || (!in.resets.empty() && in.resets[token]);
  }

  [[nodiscard]] Outputs forward(const Inputs& in) const {
    Outputs out{std::vector<double>(in.u.size()), std::vector<double>(in.u.size()),
                std::vector<double>(in.u.size() * states)};
    for (std::size_t token = 0; token < rows * tokens; ++token) {
      for (std::size_t d = 0; d < channels; ++d) {
        const auto i = token * channels + d;
        const double step = softplus(raw_delta(in, i));
        double sum = in.skip[d] * in.u[i];
        for (std::size_t n = 0; n < states; ++n) {
          const double before = starts(in, token) ? 0 : out.h[(i - channels) * states + n];
          const double decay = std::exp(-step * std::exp(in.a_log[d * states + n]));
          double& h = out.h[i * states + n];
          h = decay * before + step * in.u[i] * in.b[token * states + n];
          sum += in.c[token * states + n] * h;
        }
        out.ungated[i] = sum;
        out.y[i] = in.z.empty() ? sum : sum * in.z[i] * sigmoid(in.z[i]);
      }
    }
    return out;
  }

  /// The adjoint, from the last token to the first: with g_t = d loss / d h_t,
  ///   g_t = c_t dy_t + decay_(t+1) g_(t+1).
  [[nodiscard]] Grads backward(const Inputs& in, const std::vector<double>& grad_y) const {
    const Outputs out = forward(in);
    Grads grads{std::vector<double>(in.u.size()), std::vector<double>(in.u.size()),
                std::vector<double>(in.b.size()), std::vector<double>(in.c.size()),
                std::vector<double>(in.z.size()), std::vector<double>(in.a_log.size()),
                std::vector<double>(channels),    std::vector<double>(channels)};
    std::vector<double> carry(channels * states);
    for (std::size_t token = rows * tokens; token-- > 0;) {
      if ((token + 1) % tokens == 0) carry.assign(carry.size(), 0);
      for (std::size_t d = 0; d < channels; ++d) {
        one_token(in, out, grad_y, token, d, grads, carry.data() + d * states);
      }
    }
    return grads;
  }

 private:
  void one_token(const Inputs& in, const Outputs& out, const std::vector<double>& grad_y,
                 std::size_t token, std::size_t d, Grads& grads, double* carry) const {
    const auto i = token * channels + d;
    double grad = grad_y[i];
    if (!in.z.empty()) {
      const double s = sigmoid(in.z[i]);
      grads.z[i] = grad * out.ungated[i] * (s + in.z[i] * s * (1 - s));
      grad *= in.z[i] * s;
    }
    const double raw = raw_delta(in, i);
    const double step = softplus(raw);
    grads.skip[d] += grad * in.u[i];
    grads.u[i] = grad * in.skip[d];
    double grad_step = 0;
    for (std::size_t n = 0; n < states; ++n) {
      const double a = -std::exp(in.a_log[d * states + n]);
      const double decay = starts(in, token) ? 0 : std::exp(step * a);
      const double before = starts(in, token) ? 0 : out.h[(i - channels) * states + n];
      const double g = carry[n] + grad * in.c[token * states + n];
      grads.c[token * states + n] += grad * out.h[i * states + n];
      grads.b[token * states + n] += g * step * in.u[i];
      grads.u[i] += g * step * in.b[token * states + n];
      grad_step += g * (in.u[i] * in.b[token * states + n] + a * decay * before);
      grads.a_log[d * states + n] += g * decay * before * step * a;
      carry[n] = g * decay;
    }
    grads.delta[i] = grad_step * sigmoid(raw);
    grads.bias[d] += grads.delta[i];
  }
};

}  // namespace zt::kernels::reference
