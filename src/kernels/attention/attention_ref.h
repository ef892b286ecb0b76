#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace zt::kernels::reference {

/// Causal grouped-query attention of one document of `length` tokens in fp64. q [length, Hq, D]; k
/// and v [length, Hkv, D]; query head j reads kv head j / (Hq / Hkv).
struct Attention {
  std::int64_t length, q_heads, kv_heads, dim;

  struct Forward {
    std::vector<double> out, log_sum_exp;  ///< [length, Hq, D], [Hq, length]
  };
  struct Grads {
    std::vector<double> q, k, v;
  };

  [[nodiscard]] std::size_t q_at(std::int64_t t, std::int64_t head) const {
    return static_cast<std::size_t>((t * q_heads + head) * dim);
  }
  [[nodiscard]] std::size_t kv_at(std::int64_t t, std::int64_t head) const {
    return static_cast<std::size_t>((t * kv_heads + head / (q_heads / kv_heads)) * dim);
  }
  [[nodiscard]] double dot(const std::vector<double>& a, std::size_t i,
                           const std::vector<double>& b, std::size_t j) const {
    double sum = 0;
    for (std::size_t d = 0; d < static_cast<std::size_t>(dim); ++d) sum += a[i + d] * b[j + d];
    return sum;
  }
  [[nodiscard]] double scale() const { return 1 / std::sqrt(static_cast<double>(dim)); }
  [[nodiscard]] double log_sum(const std::vector<double>& q, const std::vector<double>& k,
                               std::int64_t t, std::int64_t head) const {
    double sum = 0;
    for (std::int64_t s = 0; s <= t; ++s)
      sum += std::exp(scale() * dot(q, q_at(t, head), k, kv_at(s, head)));
    return std::log(sum);
  }

  [[nodiscard]] Forward forward(const std::vector<double>& q, const std::vector<double>& k,
                                const std::vector<double>& v) const {
    Forward result{std::vector<double>(q.size()), {}};
    for (std::int64_t head = 0; head < q_heads; ++head) {
      for (std::int64_t t = 0; t < length; ++t) {
        const double total = log_sum(q, k, t, head);
        result.log_sum_exp.push_back(total);
        for (std::int64_t s = 0; s <= t; ++s) {
          const double p = std::exp(scale() * dot(q, q_at(t, head), k, kv_at(s, head)) - total);
          for (std::size_t d = 0; d < static_cast<std::size_t>(dim); ++d)
            result.out[q_at(t, head) + d] += p * v[kv_at(s, head) + d];
        }
      }
    }
    return result;
  }

  [[nodiscard]] Grads backward(const std::vector<double>& q, const std::vector<double>& k,
                               const std::vector<double>& v,
                               const std::vector<double>& grad) const {
    const auto out = forward(q, k, v).out;
    Grads result{std::vector<double>(q.size()), std::vector<double>(k.size()),
                 std::vector<double>(v.size())};
    for (std::int64_t head = 0; head < q_heads; ++head) {
      for (std::int64_t t = 0; t < length; ++t) {
        const auto i = q_at(t, head);
        const double total = log_sum(q, k, t, head);
        const double through = dot(grad, i, out, i);
        for (std::int64_t s = 0; s <= t; ++s) {
          const auto j = kv_at(s, head);
          const double p = std::exp(scale() * dot(q, i, k, j) - total);
          const double slope = scale() * p * (dot(grad, i, v, j) - through);
          for (std::size_t d = 0; d < static_cast<std::size_t>(dim); ++d) {
            result.v[j + d] += p * grad[i + d];
            result.q[i + d] += slope * k[j + d];
            result.k[j + d] += slope * q[i + d];
          }
        }
      }
    }
    return result;
  }
};

}  // namespace zt::kernels::reference
