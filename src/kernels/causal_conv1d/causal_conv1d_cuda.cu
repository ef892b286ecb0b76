#include "kernels/causal_conv1d/causal_conv1d_impl.h"
#include "kernels/column_sums.cuh"
#include "kernels/cuda_parameter.cuh"

namespace zt::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kForwardTokens = 32;            ///< that a thread of the forward walks
constexpr int kForwardBatch = 8, kBatch = 4;  ///< tokens whose loads are under way together
constexpr int kShare = static_cast<int>(kConvTokens);

template <typename T>
struct Inputs {
  const T* x;
  std::int64_t x_stride;
  Parameter weight, bias;
  const std::int64_t* positions;  ///< may be null
  const T* history;               ///< [B x K-1 x D], may be null
  std::int64_t sequence, channels;
  int width;
};

__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0F, 1.0F + __expf(-x)); }

/// Token t of a row, for a thread's channels.
template <int kCount, typename T>
__device__ __forceinline__ Pack<T, kCount> load_token(const T* from, std::int64_t stride,
                                                      std::int64_t token, std::int64_t channel) {
  return load_pack<T, kCount>(from + token * stride + channel);
}
/// Whether token t of a row begins a document.
template <bool kRestarts, typename T>
__device__ __forceinline__ bool restarts_at(const Inputs<T>& in, std::int64_t token) {
  return kRestarts && in.positions[token] == 0;
}

/// kCount channels of one row over time: the taps, and the inputs of the last tokens, zeros for
/// those that the newest one does not see.
template <typename T, int kCount, int kTaps>
struct Window {
  float weight[kTaps][kCount];  ///< newest token first, zero from the width on
  float bias[kCount];
  float inputs[kTaps][kCount] = {};  ///< newest token first

  __device__ __forceinline__ Window(const Inputs<T>& in, std::int64_t channel) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      bias[j] = in.bias.data != nullptr ? parameter_at(in.bias, channel + j) : 0.0F;
#pragma unroll
      for (int back = 0; back < kTaps; ++back) {
        weight[back][j] =
            back < in.width
                ? parameter_at(in.weight, (channel + j) * in.width + in.width - 1 - back)
                : 0.0F;
      }
    }
  }

  /// Takes in the next token; `restart`: it sees none before it.
  __device__ __forceinline__ void push(const Pack<T, kCount>& token, bool restart) {
#pragma unroll
    for (int back = kTaps - 1; back > 0; --back) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        inputs[back][j] = restart ? 0.0F : inputs[back - 1][j];
      }
    }
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      inputs[0][j] = to_float(token.at[j]);
    }
  }

  /// Takes in the tokens before token `first` of a row, which may lie before the row's first.
  template <bool kRestarts>
  __device__ __forceinline__ void push_before(const Inputs<T>& in, std::int64_t row,
                                              std::int64_t first, std::int64_t channel) {
#pragma unroll
    for (int back = kTaps - 1; back > 0; --back) {
      const std::int64_t t = first - back;
      if (back >= in.width) {
        continue;
      }
      if (t >= 0) {
        const std::int64_t token = row * in.sequence + t;
        push(load_token<kCount>(in.x, in.x_stride, token, channel),
             restarts_at<kRestarts>(in, token));
      } else if (in.history != nullptr) {
        push(load_token<kCount>(in.history, in.channels, (row + 1) * (in.width - 1) + t, channel),
             false);
      }
    }
  }

  /// The convolution at the newest token, before SiLU.
  __device__ __forceinline__ float at(int j) const {
    float sum = bias[j];
#pragma unroll
    for (int back = 0; back < kTaps; ++back) {
      sum = fmaf(weight[back][j], inputs[back][j], sum);
    }
    return sum;
  }
};

/// Grid: blocks of channel packs x runs of kForwardTokens tokens x rows.
template <typename T, int kCount, int kTaps, bool kRestarts>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(Inputs<T> in, T* y, std::int64_t y_stride) {
  const std::int64_t channel =
      (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kCount;
  if (channel >= in.channels) {
    return;
  }
  const std::int64_t row = blockIdx.z;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * kForwardTokens;
  const std::int64_t end = min(begin + kForwardTokens, in.sequence);
  Window<T, kCount, kTaps> window(in, channel);
  window.template push_before<kRestarts>(in, row, begin, channel);
  for (std::int64_t first = begin; first < end; first += kForwardBatch) {
    Pack<T, kCount> x[kForwardBatch];
    bool restart[kForwardBatch];
#pragma unroll
    for (int k = 0; k < kForwardBatch; ++k) {
      const std::int64_t token = row * in.sequence + min(first + k, end - 1);
      x[k] = load_token<kCount>(in.x, in.x_stride, token, channel);
      restart[k] = restarts_at<kRestarts>(in, token);
    }
#pragma unroll
    for (int k = 0; k < kForwardBatch; ++k) {
      window.push(x[k], restart[k]);
      Pack<T, kCount> out;
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        const float sum = window.at(j);
        out.at[j] = from_float<T>(sum * sigmoid(sum));
      }
      if (first + k < end) {
        store_pack(y + (row * in.sequence + first + k) * y_stride + channel, out);
      }
    }
  }
}

template <typename T>
struct Backward {
  Inputs<T> in;
  const T* grad_y;
  std::int64_t grad_y_stride;
  T* grad_x;
  std::int64_t grad_x_stride;
  float* shares;
};

/// What a thread of the backward sums.
template <int kCount, int kTaps>
struct Gradients {
  float x[kTaps][kCount] = {};       ///< of the newest token and those before it
  float weight[kTaps][kCount] = {};  ///< newest token first
  float bias[kCount] = {};
};

/// Grid: blocks of channel packs x runs of kConvTokens tokens x rows. A thread walks its run and
/// the kTaps - 1 tokens after it; grad_x of a token is complete kTaps - 1 tokens later.
template <typename T, int kCount, int kTaps, bool kRestarts>
__global__ void __launch_bounds__(kThreads) backward_kernel(Backward<T> io) {
  const Inputs<T>& in = io.in;
  const std::int64_t channel =
      (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kCount;
  if (channel >= in.channels) {
    return;
  }
  const std::int64_t row = blockIdx.z;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * kShare;
  const std::int64_t end = min(begin + kShare, in.sequence);
  Window<T, kCount, kTaps> window(in, channel);
  window.template push_before<kRestarts>(in, row, begin, channel);
  Gradients<kCount, kTaps> grads;
  int seen = kTaps;  // tokens in the window that the newest one sees, as far as this run goes
  for (std::int64_t first = begin; first < end + kTaps - 1; first += kBatch) {
    Pack<T, kCount> x[kBatch], grad_y[kBatch];
    bool restart[kBatch];
#pragma unroll
    for (int k = 0; k < kBatch; ++k) {
      const std::int64_t token = row * in.sequence + min(first + k, in.sequence - 1);
      x[k] = load_token<kCount>(in.x, in.x_stride, token, channel);
      grad_y[k] = load_token<kCount>(io.grad_y, io.grad_y_stride, token, channel);
      restart[k] = restarts_at<kRestarts>(in, token);
    }
#pragma unroll
    for (int k = 0; k < kBatch; ++k) {
      const std::int64_t t = first + k;
      window.push(x[k], restart[k]);
      seen = restart[k] ? 1 : min(seen + 1, kTaps);
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        const float sum = window.at(j);
        const float s = sigmoid(sum);
        const float slope = fmaf(sum * s, 1.0F - s, s);
        const float grad = t < in.sequence ? to_float(grad_y[k].at[j]) * slope : 0.0F;
        const float own = t < end ? grad : 0.0F;
        grads.bias[j] += own;
#pragma unroll
        for (int back = kTaps - 1; back >= 0; --back) {
          const float through = kRestarts && back >= seen ? 0.0F : grad;
          const float before = back > 0 ? grads.x[back > 0 ? back - 1 : 0][j] : 0.0F;
          grads.x[back][j] = fmaf(window.weight[back][j], through, before);
          grads.weight[back][j] = fmaf(own, window.inputs[back][j], grads.weight[back][j]);
        }
      }
      const std::int64_t done = t - (kTaps - 1);
      if (done >= begin && done < end) {
        Pack<T, kCount> out;
#pragma unroll
        for (int j = 0; j < kCount; ++j) {
          out.at[j] = from_float<T>(grads.x[kTaps - 1][j]);
        }
        store_pack(io.grad_x + (row * in.sequence + done) * io.grad_x_stride + channel, out);
      }
    }
  }
  float* share = io.shares + (row * gridDim.y + blockIdx.y) * in.channels * (in.width + 1);
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    share[in.channels * in.width + channel + j] = grads.bias[j];
#pragma unroll
    for (int back = 0; back < kTaps; ++back) {
      if (back < in.width) {
        share[(channel + j) * in.width + in.width - 1 - back] = grads.weight[back][j];
      }
    }
  }
}

/// history moves on by the row's tokens; each thread moves one channel, reads ahead of writes.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    history_kernel(Inputs<T> in, T* history, std::int64_t rows) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= rows * in.channels) {
    return;
  }
  const std::int64_t row = i / in.channels;
  const std::int64_t channel = i % in.channels;
  const std::int64_t kept = in.width - 1;
  for (std::int64_t j = 0; j < kept; ++j) {
    const std::int64_t from = j + in.sequence - kept;
    T value = from_float<T>(0.0F);
    if (from >= 0) {
      value = in.x[(row * in.sequence + from) * in.x_stride + channel];
    } else if (in.history != nullptr) {
      value = in.history[(row * kept + kept + from) * in.channels + channel];
    }
    history[(row * kept + j) * in.channels + channel] = value;
  }
}

template <typename T>
Inputs<T> inputs_of(const ConvInputs& in, const View& history, const ConvShape& shape) {
  return {in.x.view.as<T>(),
          in.x.stride_of(shape.channels),
          parameter_of(in.weight),
          parameter_of(in.bias),
          in.positions.numel > 0 ? in.positions.as<std::int64_t>() : nullptr,
          history.numel > 0 ? history.as<T>() : nullptr,
          shape.sequence,
          shape.channels,
          static_cast<int>(shape.width)};
}

/// Calls body(channels per thread, taps, whether documents begin inside of rows): 4 channels where
/// addresses and strides allow and the width is at most 4.
template <typename Body, typename... Strides>
void dispatch(const ConvShape& shape, bool restarts, bool aligned, Body body, Strides... strides) {
  constexpr int kCount = 4;
  constexpr std::integral_constant<int, 1> kSingle{};
  constexpr std::integral_constant<int, 4> kFour{};
  const auto with = [&](auto count, auto taps) {
    if (restarts) {
      body(count, taps, std::true_type{});
    } else {
      body(count, taps, std::false_type{});
    }
  };
  if (shape.width > 4) {
    with(kSingle, std::integral_constant<int, static_cast<int>(kConvMaxWidth)>{});
  } else if (aligned && shape.channels % kCount == 0 && ((strides % kCount == 0) && ...)) {
    with(std::integral_constant<int, kCount>{}, kFour);
  } else {
    with(kSingle, kFour);
  }
}

dim3 grid_of(const ConvShape& shape, int count, int tokens) {
  return dim3(static_cast<unsigned>(ceil_div(shape.channels, std::int64_t{kThreads} * count)),
              static_cast<unsigned>(ceil_div(shape.sequence, tokens)),
              static_cast<unsigned>(shape.batch));
}

void add_shares(const float* shares, std::int64_t rows, std::int64_t stride, const View& grad,
                void* stream) {
  if (grad.numel == 0) {
    return;
  }
  dispatch_float(grad.dtype, "causal_conv1d_backward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    launch_kernel("causal_conv1d_backward", column_sums_kernel<T>,
                  dim3(static_cast<unsigned>(ceil_div(grad.numel, kWarp))), dim3(kWarp, kSumLanes),
                  0, stream, shares, rows, stride, grad.numel, grad.as<T>(), grad.as<T>(),
                  grad.numel);
  });
}

}  // namespace

void causal_conv1d_forward_cuda(const ConvForward& io, const ConvShape& shape, void* stream) {
  dispatch_float(io.in.x.view.dtype, "causal_conv1d_forward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const auto in = inputs_of<T>(io.in, io.initial_inputs, shape);
    auto* y = io.y.view.as<T>();
    const std::int64_t y_stride = io.y.stride_of(shape.channels);
    dispatch(
        shape, in.positions != nullptr, aligned16(in.x, y, in.history),
        [&](auto count, auto taps, auto restarts) {
          launch_kernel("causal_conv1d_forward",
                        forward_kernel<T, count.value, taps.value, restarts.value>,
                        grid_of(shape, count.value, kForwardTokens), dim3(kThreads), 0, stream, in,
                        y, y_stride);
        },
        in.x_stride, y_stride);
    if (io.final_inputs.numel > 0) {
      launch_kernel("causal_conv1d_forward", history_kernel<T>,
                    dim3(static_cast<unsigned>(ceil_div(shape.batch * shape.channels, kThreads))),
                    dim3(kThreads), 0, stream, in, io.final_inputs.as<T>(), shape.batch);
    }
  });
}

void causal_conv1d_backward_cuda(const ConvBackward& io, const ConvShape& shape, void* stream) {
  auto* shares = io.workspace.as<float>();
  dispatch_float(io.in.x.view.dtype, "causal_conv1d_backward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const Backward<T> at{inputs_of<T>(io.in, View{}, shape),  io.grad_y.view.as<T>(),
                         io.grad_y.stride_of(shape.channels), io.grad_x.view.as<T>(),
                         io.grad_x.stride_of(shape.channels), shares};
    dispatch(
        shape, at.in.positions != nullptr, aligned16(at.in.x, at.grad_y, at.grad_x),
        [&](auto count, auto taps, auto restarts) {
          launch_kernel("causal_conv1d_backward",
                        backward_kernel<T, count.value, taps.value, restarts.value>,
                        grid_of(shape, count.value, kShare), dim3(kThreads), 0, stream, at);
        },
        at.in.x_stride, at.grad_y_stride, at.grad_x_stride);
  });
  const std::int64_t stride = shape.channels * (shape.width + 1);
  add_shares(shares, conv_shares(shape), stride, io.grad_weight, stream);
  add_shares(shares + shape.channels * shape.width, conv_shares(shape), stride, io.grad_bias,
             stream);
}

}  // namespace zt::kernels
