#include <algorithm>
#include <cmath>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/rows.h"
#include "kernels/qk_norm_rope/qk_norm_rope_impl.h"

namespace zt::kernels {
namespace {

using cpu::from_float;
using cpu::rounded;
using cpu::to_float;

constexpr std::int64_t kTokenChunk = 8;
constexpr std::int64_t kMaxHeadDim = 512;

template <typename T>
struct ForwardTokens {
  QkNormRopeForward io;
  QkNormRopeShape shape;

  [[gnu::always_inline]] void head(const T* x, const T* weight, const float* angles, float* rstd,
                                   T* out) const {
    const auto dim = shape.head_dim;
    const auto half = dim / 2;
    float normal[kMaxHeadDim];
    if (shape.qk_norm) {
      const float squares = cpu::lane_sum(dim, [x](std::int64_t i) [[gnu::always_inline]] {
        return to_float(x[i]) * to_float(x[i]);
      });
      *rstd = 1.0F / std::sqrt(squares / static_cast<float>(dim) + shape.epsilon);
      for (std::int64_t i = 0; i < dim; ++i) {
        normal[i] = rounded<T>(to_float(weight[i]) * rounded<T>(to_float(x[i]) * *rstd));
      }
    } else {
      for (std::int64_t i = 0; i < dim; ++i) normal[i] = to_float(x[i]);
    }
    for (std::int64_t i = 0; i < half; ++i) {
      const float c = rounded<T>(angles[i]);
      const float s = rounded<T>(angles[half + i]);
      out[i] = from_float<T>(normal[i] * c - normal[half + i] * s);
      out[half + i] = from_float<T>(normal[half + i] * c + normal[i] * s);
    }
  }

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    const auto dim = shape.head_dim;
    const auto heads = shape.q_heads + shape.kv_heads;
    for (std::int64_t n = begin; n < end; ++n) {
      const T* qkv = io.qkv.as<T>() + n * (heads + shape.kv_heads) * dim;
      const float* angles = io.cos_sin.as<float>() + io.positions.as<std::int64_t>()[n] * dim;
      float* rstd = shape.qk_norm ? io.rstd.as<float>() + n * heads : nullptr;
      for (std::int64_t h = 0; h < heads; ++h) {
        const bool is_q = h < shape.q_heads;
        T* out = is_q ? io.q.as<T>() + (n * shape.q_heads + h) * dim
                      : io.k.as<T>() + (n * shape.kv_heads + h - shape.q_heads) * dim;
        const T* weight = shape.qk_norm ? (is_q ? io.q_weight : io.k_weight).as<T>() : nullptr;
        head(qkv + h * dim, weight, angles, shape.qk_norm ? rstd + h : nullptr, out);
      }
      const T* v = qkv + heads * dim;
      std::copy(v, v + shape.kv_heads * dim, io.v.as<T>() + n * shape.kv_heads * dim);
    }
  }
};

template <typename T>
struct BackwardTokens {
  QkNormRopeBackward io;
  QkNormRopeShape shape;

  [[gnu::always_inline]] void head(const T* x, const T* weight, const float* angles, float rstd,
                                   const T* grad_out, T* grad_in, float* weight_sum) const {
    const auto dim = shape.head_dim;
    const auto half = dim / 2;
    float grad[kMaxHeadDim];
    for (std::int64_t i = 0; i < half; ++i) {
      const float c = rounded<T>(angles[i]);
      const float s = rounded<T>(angles[half + i]);
      const float first = to_float(grad_out[i]);
      const float second = to_float(grad_out[half + i]);
      grad[i] = rounded<T>(first * c + second * s);
      grad[half + i] = rounded<T>(second * c - first * s);
    }
    if (!shape.qk_norm) {
      for (std::int64_t i = 0; i < dim; ++i) grad_in[i] = from_float<T>(grad[i]);
      return;
    }
    const float* g = grad;
    const float dot = cpu::lane_sum(dim, [=](std::int64_t i) [[gnu::always_inline]] {
      return g[i] * to_float(weight[i]) * (to_float(x[i]) * rstd);
    });
    const float mean = dot / static_cast<float>(dim);
    for (std::int64_t i = 0; i < dim; ++i) {
      const float normal = to_float(x[i]) * rstd;
      weight_sum[i] = weight_sum[i] + grad[i] * rounded<T>(normal);
      grad_in[i] = from_float<T>(rstd * (grad[i] * to_float(weight[i]) - normal * mean));
    }
  }

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    const auto dim = shape.head_dim;
    const auto heads = shape.q_heads + shape.kv_heads;
    float* sums = nullptr;
    if (shape.qk_norm) {
      sums = io.workspace.as<float>() + begin / kQkTokensPerPartial * 2 * dim;
      std::fill(sums, sums + 2 * dim, 0.0F);
    }
    for (std::int64_t n = begin; n < end; ++n) {
      const auto at = n * (heads + shape.kv_heads) * dim;
      const float* angles = io.cos_sin.as<float>() + io.positions.as<std::int64_t>()[n] * dim;
      for (std::int64_t h = 0; h < heads; ++h) {
        const bool is_q = h < shape.q_heads;
        const T* grad = is_q ? io.grad_q.as<T>() + (n * shape.q_heads + h) * dim
                             : io.grad_k.as<T>() + (n * shape.kv_heads + h - shape.q_heads) * dim;
        const T* weight = shape.qk_norm ? (is_q ? io.q_weight : io.k_weight).as<T>() : nullptr;
        const float rstd = shape.qk_norm ? io.rstd.as<float>()[n * heads + h] : 1.0F;
        head(io.qkv.as<T>() + at + h * dim, weight, angles, rstd, grad,
             io.grad_qkv.as<T>() + at + h * dim, is_q ? sums : sums + dim);
      }
      const T* grad_v = io.grad_v.as<T>() + n * shape.kv_heads * dim;
      std::copy(grad_v, grad_v + shape.kv_heads * dim, io.grad_qkv.as<T>() + at + heads * dim);
    }
  }
};

template <typename G>
void add_partials(const View& workspace, std::int64_t partials, std::int64_t begin,
                  const View& grad) {
  const auto dim = grad.numel;
  auto* target = grad.as<G>();
  for (std::int64_t i = 0; i < dim; ++i) {
    float sum = 0;
    for (std::int64_t p = 0; p < partials; ++p)
      sum += workspace.as<float>()[p * 2 * dim + begin + i];
    target[i] = from_float<G>(to_float(target[i]) + sum);
  }
}

}  // namespace

void qk_norm_rope_forward_cpu(const QkNormRopeForward& io, const QkNormRopeShape& shape) {
  ZT_ASSERT(shape.head_dim <= kMaxHeadDim, "head_dim above 512 is not supported");
  cpu::with_activation(io.qkv.dtype, [&]<typename T>() {
    cpu::row_loop(ForwardTokens<T>{io, shape}, shape.batch * shape.sequence, kTokenChunk);
  });
}

void qk_norm_rope_backward_cpu(const QkNormRopeBackward& io, const QkNormRopeShape& shape) {
  ZT_ASSERT(shape.head_dim <= kMaxHeadDim, "head_dim above 512 is not supported");
  const auto tokens = shape.batch * shape.sequence;
  cpu::with_activation(io.qkv.dtype, [&]<typename T>() {
    cpu::row_loop(BackwardTokens<T>{io, shape}, tokens, kQkTokensPerPartial);
  });
  if (!shape.qk_norm) return;
  const auto partials = (tokens + kQkTokensPerPartial - 1) / kQkTokensPerPartial;
  cpu::with_activation(io.grad_q_weight.dtype, [&]<typename G>() {
    add_partials<G>(io.workspace, partials, 0, io.grad_q_weight);
    add_partials<G>(io.workspace, partials, shape.head_dim, io.grad_k_weight);
  });
}

}  // namespace zt::kernels
