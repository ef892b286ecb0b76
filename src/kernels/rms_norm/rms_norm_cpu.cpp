#include <cmath>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/rows.h"
#include "kernels/rms_norm/rms_norm_impl.h"

namespace zt::kernels {
namespace {

using cpu::from_float;
using cpu::rounded;
using cpu::to_float;

constexpr std::int64_t kRowChunk = 16;

/// Calls visit.template operator()<X, T>() with the storage types of x and of the weight.
template <typename Visit>
void with_dtypes(const View& x, const View& weight, const Visit& visit) {
  cpu::with_activation(weight.dtype, [&]<typename T>() {
    if (x.dtype == weight.dtype) {
      visit.template operator()<T, T>();
    } else {
      visit.template operator()<float, T>();
    }
  });
}

template <typename X, typename T>
struct ForwardRows {
  RmsNormForward io;
  RmsNormShape shape;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    const auto cols = shape.cols;
    const T* __restrict weight = io.weight.as<T>();
    for (std::int64_t row = begin; row < end; ++row) {
      const X* x = io.x.as<X>() + row * cols;
      if (io.residual.numel > 0) {
        const X* residual = io.residual.as<X>() + row * cols;
        X* sum = io.sum.as<X>() + row * cols;
        for (std::int64_t c = 0; c < cols; ++c) {
          sum[c] = from_float<X>(to_float(x[c]) + to_float(residual[c]));
        }
        x = sum;
      }
      const float squares = cpu::lane_sum(cols, [x](std::int64_t c) [[gnu::always_inline]] {
        return to_float(x[c]) * to_float(x[c]);
      });
      const float rstd = 1.0F / std::sqrt(squares / static_cast<float>(cols) + shape.epsilon);
      if (io.rstd.numel > 0) io.rstd.as<float>()[row] = rstd;
      T* __restrict y = io.y.as<T>() + row * cols;
      for (std::int64_t c = 0; c < cols; ++c) {
        y[c] = from_float<T>(to_float(weight[c]) * rounded<T>(to_float(x[c]) * rstd));
      }
    }
  }
};

/// One call per partial: kRmsNormRowsPerPartial rows, whose weight gradient goes to
/// workspace[partial].
template <typename X, typename T>
struct BackwardRows {
  RmsNormBackward io;
  RmsNormShape shape;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    const auto cols = shape.cols;
    const T* __restrict weight = io.weight.as<T>();
    float* __restrict partial = io.workspace.as<float>() + begin / kRmsNormRowsPerPartial * cols;
    for (std::int64_t c = 0; c < cols; ++c) partial[c] = 0.0F;
    for (std::int64_t row = begin; row < end; ++row) {
      const X* x = io.x.as<X>() + row * cols;
      const T* grad_y = io.grad_y.as<T>() + row * cols;
      const X* residual =
          io.grad_residual.numel > 0 ? io.grad_residual.as<X>() + row * cols : nullptr;
      X* grad_x = io.grad_x.as<X>() + row * cols;
      const float rstd = io.rstd.as<float>()[row];
      const float dot = cpu::lane_sum(cols, [=](std::int64_t c) [[gnu::always_inline]] {
        return to_float(grad_y[c]) * to_float(weight[c]) * (to_float(x[c]) * rstd);
      });
      const float mean = dot / static_cast<float>(cols);
      for (std::int64_t c = 0; c < cols; ++c) {
        const float normal = to_float(x[c]) * rstd;
        partial[c] = partial[c] + to_float(grad_y[c]) * rounded<T>(normal);
      }
      if (residual == nullptr) {
        for (std::int64_t c = 0; c < cols; ++c)
          grad_x[c] = from_float<X>(input_grad(grad_y, weight, x, c, rstd, mean));
      } else {
        for (std::int64_t c = 0; c < cols; ++c) {
          grad_x[c] = from_float<X>(to_float(residual[c]) +
                                    rounded<X>(input_grad(grad_y, weight, x, c, rstd, mean)));
        }
      }
    }
  }

  [[gnu::always_inline]] static float input_grad(const T* grad_y, const T* weight, const X* x,
                                                 std::int64_t c, float rstd, float mean) {
    return rstd * (to_float(grad_y[c]) * to_float(weight[c]) - to_float(x[c]) * rstd * mean);
  }
};

template <typename G>
void add_partials(const View& workspace, std::int64_t partials, const View& grad) {
  const auto cols = grad.numel;
  auto* target = grad.as<G>();
  for (std::int64_t c = 0; c < cols; ++c) {
    float sum = 0;
    for (std::int64_t p = 0; p < partials; ++p) sum += workspace.as<float>()[p * cols + c];
    target[c] = from_float<G>(to_float(target[c]) + sum);
  }
}

}  // namespace

void rms_norm_forward_cpu(const RmsNormForward& io, const RmsNormShape& shape) {
  with_dtypes(io.x, io.weight, [&]<typename X, typename T>() {
    cpu::row_loop(ForwardRows<X, T>{io, shape}, shape.rows, kRowChunk);
  });
}

void rms_norm_backward_cpu(const RmsNormBackward& io, const RmsNormShape& shape) {
  with_dtypes(io.x, io.weight, [&]<typename X, typename T>() {
    cpu::row_loop(BackwardRows<X, T>{io, shape}, shape.rows, kRmsNormRowsPerPartial);
  });
  const auto partials = (shape.rows + kRmsNormRowsPerPartial - 1) / kRmsNormRowsPerPartial;
  cpu::with_activation(io.grad_weight.dtype, [&]<typename G>() {
    add_partials<G>(io.workspace, partials, io.grad_weight);
  });
}

}  // namespace zt::kernels
