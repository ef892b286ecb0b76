#include <algorithm>

#include "kernels/column_sums.cuh"
#include "kernels/cuda_common.cuh"
#include "kernels/qk_norm_rope/heads.cuh"
#include "kernels/qk_norm_rope/qk_norm_rope_impl.h"

namespace zt::kernels {
namespace {

using namespace heads;

// All heads of a token belong to one block, so that its cosines and sines are read once per thread.
constexpr int kThreads = 128;
constexpr int kScalarTurns = 8;
constexpr std::int64_t kMaxHeadDim = 2LL * kWarp * kScalarTurns;
constexpr std::int64_t kMaxPartials = 1024;

struct Shape {
  std::int64_t tokens;
  int q_heads, kv_heads, half;
  bool qk_norm;
  float epsilon;
};

template <typename T>
struct Forward {
  const T *qkv, *q_weight, *k_weight;
  const float* cos_sin;
  const std::int64_t* positions;
  T *q, *k, *v;
  float* rstd;
};

template <typename T>
struct Backward {
  const T *qkv, *q_weight, *k_weight;
  const float* cos_sin;
  const std::int64_t* positions;
  const float* rstd;
  const T *grad_q, *grad_k, *grad_v;
  T* grad_qkv;
  float* partials;  ///< [gridDim.x x 2 D], q then k
};

enum class Kind { query, key, value };
__device__ __forceinline__ Kind kind_of(int head, const Shape& shape) {
  if (head < shape.q_heads) {
    return Kind::query;
  }
  return head < shape.q_heads + shape.kv_heads ? Kind::key : Kind::value;
}

/// The heads of one token in the three parts.
template <typename T>
struct Parts {
  T *q, *k, *v;

  __device__ __forceinline__ Parts(T* all_q, T* all_k, T* all_v, std::int64_t token,
                                   const Shape& shape)
      : q(all_q + token * (shape.q_heads * 2 * shape.half)),
        k(all_k + token * (shape.kv_heads * 2 * shape.half)),
        v(all_v + token * (shape.kv_heads * 2 * shape.half)) {}
  __device__ __forceinline__ T* at(Kind kind, int head, const Shape& shape) const {
    if (kind == Kind::query) {
      return q + head * 2 * shape.half;
    }
    head -= shape.q_heads;
    return kind == Kind::key ? k + head * 2 * shape.half
                             : v + (head - shape.kv_heads) * 2 * shape.half;
  }
};

template <typename T, int kCount, int kLanes, int kTurns>
__global__ void __launch_bounds__(kThreads) forward_kernel(Forward<T> io, Shape shape) {
  constexpr int kGroups = kThreads / kLanes;
  const int group = static_cast<int>(threadIdx.x) / kLanes;
  const int half = shape.half;
  const int heads = shape.q_heads + 2 * shape.kv_heads;
  const std::int64_t token = blockIdx.x;
  const T* qkv = io.qkv + token * (heads * 2 * half);
  const Parts<T> parts(io.q, io.k, io.v, token, shape);
  const auto angles =
      load_angles<T, kCount, kLanes, kTurns>(io.cos_sin + io.positions[token] * 2 * half, half);
  // Every thread takes part in every turn of the loop: the sums exchange between lanes.
  for (int first = 0; first < heads; first += kGroups) {
    const int head = first + group;
    const bool active = head < heads;
    const Kind kind = kind_of(active ? head : 0, shape);
    T* to = parts.at(kind, active ? head : 0, shape);
    if (!any_of_warp(active && kind != Kind::value)) {  // values only
      if (active) {
        copy_head<T, kCount, kLanes, kTurns>(qkv + head * 2 * half, to, half);
      }
      continue;
    }
    Held<T, kCount, kTurns> x;
    if (active) {
      x = load_head<T, kCount, kLanes, kTurns>(qkv + head * 2 * half, half);
    }
    Pairs<kCount, kTurns> y = x.widened();
    if (shape.qk_norm) {
      const float squares = sum_of_squares<kLanes>(x);
      const float rstd = 1.0F / sqrtf(squares / static_cast<float>(2 * half) + shape.epsilon);
      if (kind != Kind::value) {
        y = normalised(x,
                       load_head<T, kCount, kLanes, kTurns>(
                           kind == Kind::query ? io.q_weight : io.k_weight, half),
                       rstd);
        if (active && threadIdx.x % kLanes == 0) {
          io.rstd[token * (shape.q_heads + shape.kv_heads) + head] = rstd;
        }
      }
    }
    if (kind != Kind::value) {
      rotate<1>(y, angles);
    }
    if (active) {
      store_head<T, kCount, kLanes, kTurns>(to, half, y);
    }
  }
}

template <int kCount, int kTurns>
__device__ __forceinline__ void add(Pairs<kCount, kTurns>& to, const Pairs<kCount, kTurns>& from) {
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      to.low[turn][j] += from.low[turn][j];
      to.high[turn][j] += from.high[turn][j];
    }
  }
}

/// Writes a group's weight gradient to its row of shared memory.
template <int kCount, int kLanes, int kTurns>
__device__ __forceinline__ void stage(float* row, int half, const Pairs<kCount, kTurns>& pairs) {
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int i = pair_index<kCount, kLanes>(turn);
    if (i < half) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        row[i + j] = pairs.low[turn][j];
        row[half + i + j] = pairs.high[turn][j];
      }
    }
  }
}

/// Block b takes tokens b, b + gridDim.x, ...; the weight gradients stay in registers until the
/// end, when the groups of the block are added in index order.
template <typename T, int kCount, int kLanes, int kTurns>
__global__ void __launch_bounds__(kThreads) backward_kernel(Backward<T> io, Shape shape) {
  extern __shared__ float staged[];  // [groups x 2 D]
  constexpr int kGroups = kThreads / kLanes;
  const int group = static_cast<int>(threadIdx.x) / kLanes;
  const int half = shape.half;
  const int heads = shape.q_heads + 2 * shape.kv_heads;
  Pairs<kCount, kTurns> grad_q_weight;
  Pairs<kCount, kTurns> grad_k_weight;
  for (std::int64_t token = blockIdx.x; token < shape.tokens; token += gridDim.x) {
    const T* qkv = io.qkv + token * (heads * 2 * half);
    T* grad_qkv = io.grad_qkv + token * (heads * 2 * half);
    const Parts<const T> parts(io.grad_q, io.grad_k, io.grad_v, token, shape);
    const auto angles =
        load_angles<T, kCount, kLanes, kTurns>(io.cos_sin + io.positions[token] * 2 * half, half);
    for (int first = 0; first < heads; first += kGroups) {
      const int head = first + group;
      const bool active = head < heads;
      const Kind kind = kind_of(active ? head : 0, shape);
      const bool turns = active && kind != Kind::value;
      const T* from = parts.at(kind, active ? head : 0, shape);
      if (!any_of_warp(turns)) {  // values only
        if (active) {
          copy_head<T, kCount, kLanes, kTurns>(from, grad_qkv + head * 2 * half, half);
        }
        continue;
      }
      Pairs<kCount, kTurns> grad;
      Held<T, kCount, kTurns> x;
      if (active) {
        grad = load_head<T, kCount, kLanes, kTurns>(from, half).widened();
        if (shape.qk_norm && turns) {
          x = load_head<T, kCount, kLanes, kTurns>(qkv + head * 2 * half, half);
        }
      }
      if (kind != Kind::value) {
        rotate<-1>(grad, angles);
      }
      if (shape.qk_norm) {
        // Value heads and idle groups run along with zeros: the sums exchange between lanes.
        Held<T, kCount, kTurns> weight;
        float rstd = 0.0F;
        if (turns) {
          weight = load_head<T, kCount, kLanes, kTurns>(
              kind == Kind::query ? io.q_weight : io.k_weight, half);
          rstd = io.rstd[token * (shape.q_heads + shape.kv_heads) + head];
        }
        Pairs<kCount, kTurns> part;
        norm_backward<T, kCount, kLanes, kTurns>(grad, part, x, weight, rstd, 2 * half, turns);
        if (kind == Kind::query) {
          add(grad_q_weight, part);
        } else if (kind == Kind::key) {
          add(grad_k_weight, part);
        }
      }
      if (active) {
        store_head<T, kCount, kLanes, kTurns>(grad_qkv + head * 2 * half, half, grad);
      }
    }
  }
  if (!shape.qk_norm) {
    return;
  }
  stage<kCount, kLanes, kTurns>(staged + group * 4 * half, half, grad_q_weight);
  stage<kCount, kLanes, kTurns>(staged + group * 4 * half + 2 * half, half, grad_k_weight);
  __syncthreads();
  for (int col = static_cast<int>(threadIdx.x); col < 4 * half; col += kThreads) {
    float sum = 0.0F;
    for (int g = 0; g < kGroups; ++g) {
      sum += staged[g * 4 * half + col];
    }
    io.partials[static_cast<std::int64_t>(blockIdx.x) * 4 * half + col] = sum;
  }
}

Shape device_shape(const QkNormRopeShape& shape) {
  if (shape.head_dim % 2 != 0 || shape.head_dim > kMaxHeadDim) {
    throw DeviceError("[kernels.qk_norm_rope] head_dim: got " + std::to_string(shape.head_dim) +
                      ", expected an even number up to " + std::to_string(kMaxHeadDim) + ".");
  }
  return {shape.batch * shape.sequence,
          static_cast<int>(shape.q_heads),
          static_cast<int>(shape.kv_heads),
          static_cast<int>(shape.head_dim / 2),
          shape.qk_norm,
          shape.epsilon};
}

/// Calls `body(count, lanes, turns)` (as integral constants) with the layout that fits: 16-byte
/// packs on the fewest lanes, or single elements on a whole warp.
template <typename T, typename Body>
void choose_layout(int half, bool packed, Body body) {
  constexpr auto kOne = std::integral_constant<int, 1>{};
  constexpr auto kCount = std::integral_constant<int, kPack<T>>{};
  if (!packed || half % kPack<T> != 0 || half > kWarp * kPack<T>) {
    return body(kOne, std::integral_constant<int, kWarp>{},
                std::integral_constant<int, kScalarTurns>{});
  }
  const int lanes = half / kPack<T>;
  if (lanes <= 4) {
    return body(kCount, std::integral_constant<int, 4>{}, kOne);
  }
  if (lanes <= 8) {
    return body(kCount, std::integral_constant<int, 8>{}, kOne);
  }
  if (lanes <= 16) {
    return body(kCount, std::integral_constant<int, 16>{}, kOne);
  }
  return body(kCount, std::integral_constant<int, kWarp>{}, kOne);
}

}  // namespace

void qk_norm_rope_forward_cuda(const QkNormRopeForward& io, const QkNormRopeShape& shape,
                               void* stream) {
  const Shape on_device = device_shape(shape);
  if (on_device.tokens == 0) {
    return;
  }
  dispatch_float(io.qkv.dtype, "qk_norm_rope_forward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const Forward<T> at{io.qkv.as<T>(),
                        io.q_weight.as<T>(),
                        io.k_weight.as<T>(),
                        io.cos_sin.as<float>(),
                        io.positions.as<std::int64_t>(),
                        io.q.as<T>(),
                        io.k.as<T>(),
                        io.v.as<T>(),
                        io.rstd.as<float>()};
    const bool packed = aligned16(at.qkv, at.q_weight, at.k_weight, at.cos_sin, at.q, at.k, at.v);
    choose_layout<T>(on_device.half, packed, [&](auto count, auto lanes, auto turns) {
      launch_kernel(
          "qk_norm_rope_forward",
          forward_kernel<T, decltype(count)::value, decltype(lanes)::value, decltype(turns)::value>,
          dim3(static_cast<unsigned>(on_device.tokens)), dim3(kThreads), 0, stream, at, on_device);
    });
  });
}

void qk_norm_rope_backward_cuda(const QkNormRopeBackward& io, const QkNormRopeShape& shape,
                                void* stream) {
  const Shape on_device = device_shape(shape);
  if (on_device.tokens == 0) {
    return;
  }
  const std::int64_t width = 2 * shape.head_dim;
  // The number of partial sums depends on the shape only, never on the device: same bits
  // everywhere.
  const std::int64_t partials =
      std::min({on_device.tokens, kMaxPartials, qk_norm_rope_workspace(shape) / width});
  dispatch_float(io.qkv.dtype, "qk_norm_rope_backward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const Backward<T> at{io.qkv.as<T>(),
                         io.q_weight.as<T>(),
                         io.k_weight.as<T>(),
                         io.cos_sin.as<float>(),
                         io.positions.as<std::int64_t>(),
                         io.rstd.as<float>(),
                         io.grad_q.as<T>(),
                         io.grad_k.as<T>(),
                         io.grad_v.as<T>(),
                         io.grad_qkv.as<T>(),
                         io.workspace.as<float>()};
    const bool packed = aligned16(at.qkv, at.q_weight, at.k_weight, at.cos_sin, at.grad_q,
                                  at.grad_k, at.grad_v, at.grad_qkv);
    choose_layout<T>(on_device.half, packed, [&](auto count, auto lanes, auto turns) {
      constexpr int kLanes = decltype(lanes)::value;
      const std::size_t staged = sizeof(float) * static_cast<std::size_t>(kThreads / kLanes) *
                                 static_cast<std::size_t>(width);
      launch_kernel("qk_norm_rope_backward",
                    backward_kernel<T, decltype(count)::value, kLanes, decltype(turns)::value>,
                    dim3(static_cast<unsigned>(partials)), dim3(kThreads), staged, stream, at,
                    on_device);
    });
  });
  if (shape.qk_norm) {
    add_column_sums("qk_norm_rope_backward", io.workspace.as<float>(), partials, width,
                    io.grad_q_weight, io.grad_k_weight, stream);
  }
}

}  // namespace zt::kernels
