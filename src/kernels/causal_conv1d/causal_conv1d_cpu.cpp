#include <vector>

#include "kernels/causal_conv1d/causal_conv1d_impl.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/rows.h"

namespace zt::kernels {
namespace {

using cpu::from_float;
using cpu::to_float;

constexpr std::int64_t kBlock = 256;  ///< channels that stay in the first-level cache together

/// weight as [K][D] with the newest token first, and bias [D], both fp32.
struct Taps {
  std::vector<float> weight, bias;

  Taps(const ConvInputs& in, const ConvShape& shape)
      : weight(static_cast<std::size_t>(shape.width * shape.channels)),
        bias(static_cast<std::size_t>(shape.channels)) {
    cpu::with_activation(in.weight.dtype, [&]<typename W>() {
      for (std::int64_t i = 0; i < in.weight.numel; ++i) {
        const auto back = shape.width - 1 - i % shape.width;
        weight[static_cast<std::size_t>(back * shape.channels + i / shape.width)] =
            to_float(in.weight.as<W>()[i]);
      }
    });
    cpu::with_activation(in.bias.dtype, [&]<typename W>() {
      for (std::int64_t d = 0; d < in.bias.numel; ++d) {
        bias[static_cast<std::size_t>(d)] = to_float(in.bias.as<W>()[d]);
      }
    });
  }
};

/// How many tokens, itself included, the token `t` of `row` sees: up to K, fewer after a restart;
/// at the row's begin fewer as well, unless inputs from before are given.
std::int64_t reach(const View& positions, const ConvShape& shape, std::int64_t row, std::int64_t t,
                   bool history) {
  std::int64_t count = 1;
  const auto* at = positions.as<std::int64_t>() + row * shape.sequence;
  while (count < shape.width && (history || count <= t)) {
    const auto newer = t - count + 1;
    if (positions.numel > 0 && newer >= 0 && at[newer] == 0) break;
    ++count;
  }
  return count;
}

/// sums[c] = bias + the taps of token `t` over channels [first, first + count).
template <typename T>
[[gnu::always_inline]] inline void convolve(const ConvInputs& in, const View& history,
                                            const ConvShape& shape, const Taps& taps,
                                            std::int64_t row, std::int64_t t, std::int64_t first,
                                            std::int64_t count, float* __restrict sums) {
  for (std::int64_t c = 0; c < count; ++c) sums[c] = taps.bias[static_cast<std::size_t>(first + c)];
  const auto stride = in.x.stride_of(shape.channels);
  const auto seen = reach(in.positions, shape, row, t, history.numel > 0);
  for (std::int64_t back = 0; back < seen; ++back) {
    const auto from = t - back;
    const T* x = from >= 0 ? in.x.view.as<T>() + (row * shape.sequence + from) * stride
                           : history.as<T>() + (row * (shape.width - 1) + shape.width - 1 + from) *
                                                   shape.channels;
    const float* weight = taps.weight.data() + back * shape.channels + first;
    x += first;
    for (std::int64_t c = 0; c < count; ++c) sums[c] = std::fma(weight[c], to_float(x[c]), sums[c]);
  }
}

/// Tokens of all rows, one after the other.
template <typename T>
struct ForwardTokens {
  ConvForward io;
  ConvShape shape;
  const Taps* taps;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    float sums[kBlock];
    for (std::int64_t token = begin; token < end; ++token) {
      for (std::int64_t first = 0; first < shape.channels; first += kBlock) {
        const auto count = std::min(kBlock, shape.channels - first);
        convolve<T>(io.in, io.initial_inputs, shape, *taps, token / shape.sequence,
                    token % shape.sequence, first, count, sums);
        T* y = io.y.view.as<T>() + token * io.y.stride_of(shape.channels) + first;
        for (std::int64_t c = 0; c < count; ++c)
          y[c] = from_float<T>(sums[c] * cpu::sigmoid(sums[c]));
      }
    }
  }
};

/// One call per share: kConvTokens tokens of a row. The gradient before SiLU of these tokens and
/// of the K - 1 that follow is formed, then spread over the taps.
template <typename T>
struct BackwardShares {
  ConvBackward io;
  ConvShape shape;
  const Taps* taps;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    std::vector<float> grad(static_cast<std::size_t>((kConvTokens + kConvMaxWidth) * kBlock));
    const auto per_row = (shape.sequence + kConvTokens - 1) / kConvTokens;
    for (std::int64_t share = begin; share < end; ++share) {
      for (std::int64_t first = 0; first < shape.channels; first += kBlock) {
        const auto count = std::min(kBlock, shape.channels - first);
        one_block(share, share / per_row, share % per_row * kConvTokens, first, count, grad.data());
      }
    }
  }

  [[gnu::always_inline]] void one_block(std::int64_t share, std::int64_t row, std::int64_t t0,
                                        std::int64_t first, std::int64_t count,
                                        float* __restrict grad) const {
    const auto own = std::min(kConvTokens, shape.sequence - t0);
    const auto all = std::min(own + shape.width - 1, shape.sequence - t0);
    const auto stride = io.grad_y.stride_of(shape.channels);
    float sums[kBlock];
    for (std::int64_t i = 0; i < all; ++i) {
      convolve<T>(io.in, View{}, shape, *taps, row, t0 + i, first, count, sums);
      const T* grad_y = io.grad_y.view.as<T>() + (row * shape.sequence + t0 + i) * stride + first;
      for (std::int64_t c = 0; c < count; ++c) {
        const float s = cpu::sigmoid(sums[c]);
        grad[i * kBlock + c] = to_float(grad_y[c]) * std::fma(sums[c] * s, 1.0F - s, s);
      }
    }
    for (std::int64_t i = 0; i < own; ++i) input_grad(row, t0, i, all, first, count, grad);
    parameter_grads(share, row, t0, own, first, count, grad);
  }

  /// grad_x of one token: the taps through which the tokens from it on see it.
  [[gnu::always_inline]] void input_grad(std::int64_t row, std::int64_t t0, std::int64_t i,
                                         std::int64_t all, std::int64_t first, std::int64_t count,
                                         const float* __restrict grad) const {
    float sums[kBlock];
    for (std::int64_t c = 0; c < count; ++c) sums[c] = 0.0F;
    for (std::int64_t back = 0; back < shape.width && i + back < all; ++back) {
      if (reach(io.in.positions, shape, row, t0 + i + back, false) <= back) break;
      const float* weight = taps->weight.data() + back * shape.channels + first;
      const float* from = grad + (i + back) * kBlock;
      for (std::int64_t c = 0; c < count; ++c) sums[c] = std::fma(weight[c], from[c], sums[c]);
    }
    T* grad_x = io.grad_x.view.as<T>() +
                (row * shape.sequence + t0 + i) * io.grad_x.stride_of(shape.channels) + first;
    for (std::int64_t c = 0; c < count; ++c) grad_x[c] = from_float<T>(sums[c]);
  }

  /// The share's part of grad_weight and grad_bias.
  [[gnu::always_inline]] void parameter_grads(std::int64_t share, std::int64_t row, std::int64_t t0,
                                              std::int64_t own, std::int64_t first,
                                              std::int64_t count,
                                              const float* __restrict grad) const {
    float* to = io.workspace.as<float>() + share * shape.channels * (shape.width + 1);
    const auto stride = io.in.x.stride_of(shape.channels);
    float sums[kBlock];
    for (std::int64_t back = 0; back <= shape.width; ++back) {
      for (std::int64_t c = 0; c < count; ++c) sums[c] = 0.0F;
      for (std::int64_t i = 0; i < own; ++i) {
        const float* __restrict from = grad + i * kBlock;
        if (back == shape.width) {
          for (std::int64_t c = 0; c < count; ++c) sums[c] = sums[c] + from[c];
        } else if (reach(io.in.positions, shape, row, t0 + i, false) > back) {
          const T* x =
              io.in.x.view.as<T>() + (row * shape.sequence + t0 + i - back) * stride + first;
          for (std::int64_t c = 0; c < count; ++c)
            sums[c] = std::fma(from[c], to_float(x[c]), sums[c]);
        }
      }
      for (std::int64_t c = 0; c < count; ++c) {
        const auto d = first + c;
        to[back == shape.width ? shape.channels * shape.width + d
                               : d * shape.width + shape.width - 1 - back] = sums[c];
      }
    }
  }
};

/// history [B x K-1 x D] moves on by the row's tokens; reads run ahead of writes.
template <typename T>
void move_history(const ConvForward& io, const ConvShape& shape) {
  const auto kept = shape.width - 1, stride = io.in.x.stride_of(shape.channels);
  for (std::int64_t row = 0; row < shape.batch; ++row) {
    for (std::int64_t j = 0; j < kept; ++j) {
      const auto from = j + shape.sequence - kept;  // token of the row; negative: before it
      T* to = io.final_inputs.as<T>() + (row * kept + j) * shape.channels;
      for (std::int64_t d = 0; d < shape.channels; ++d) {
        if (from >= 0) {
          to[d] = io.in.x.view.as<T>()[(row * shape.sequence + from) * stride + d];
        } else if (io.initial_inputs.numel > 0) {
          to[d] = io.initial_inputs.as<T>()[(row * kept + kept + from) * shape.channels + d];
        } else {
          to[d] = from_float<T>(0.0F);
        }
      }
    }
  }
}

void add_shares(const float* shares, std::int64_t count, std::int64_t stride, const View& grad) {
  if (grad.numel == 0) return;
  cpu::with_activation(grad.dtype, [&]<typename T>() {
    for (std::int64_t i = 0; i < grad.numel; ++i) {
      float sum = 0.0F;
      for (std::int64_t share = 0; share < count; ++share) sum += shares[share * stride + i];
      grad.as<T>()[i] = from_float<T>(to_float(grad.as<T>()[i]) + sum);
    }
  });
}

}  // namespace

void causal_conv1d_forward_cpu(const ConvForward& io, const ConvShape& shape) {
  const Taps taps(io.in, shape);
  cpu::with_activation(io.in.x.view.dtype, [&]<typename T>() {
    cpu::simd_loop(ForwardTokens<T>{io, shape, &taps}, shape.batch * shape.sequence, kConvTokens);
    if (io.final_inputs.numel > 0) move_history<T>(io, shape);
  });
}

void causal_conv1d_backward_cpu(const ConvBackward& io, const ConvShape& shape) {
  const Taps taps(io.in, shape);
  const auto shares = conv_shares(shape);
  cpu::with_activation(io.in.x.view.dtype, [&]<typename T>() {
    cpu::simd_loop(BackwardShares<T>{io, shape, &taps}, shares, 1);
  });
  const auto* sums = io.workspace.as<float>();
  const auto stride = shape.channels * (shape.width + 1);
  add_shares(sums, shares, stride, io.grad_weight);
  add_shares(sums + shape.channels * shape.width, shares, stride, io.grad_bias);
}

}  // namespace zt::kernels
