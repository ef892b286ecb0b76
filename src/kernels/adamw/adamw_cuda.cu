#include "kernels/adamw/adamw_impl.h"
#include "kernels/cuda_common.cuh"

namespace zt::kernels {
namespace {

constexpr int kThreads = 256;

struct State {
  float p, m, v;
};

/// The expression order of adamw_impl.h. The _rn intrinsics keep nvcc from contracting anything.
template <bool kL2>
__device__ __forceinline__ State update(const AdamWScalars& s, State old, float grad,
                                        float factor) {
  float p = old.p;
  float g = __fmul_rn(grad, factor);
  if constexpr (kL2) {
    g = __fmaf_rn(s.weight_decay, p, g);
  } else {
    p = __fmul_rn(p, s.decay_factor);
  }
  const float m = __fmaf_rn(s.beta1, old.m, __fmul_rn(s.one_minus_beta1, g));
  const float v = __fmaf_rn(s.beta2, old.v, __fmul_rn(s.one_minus_beta2, __fmul_rn(g, g)));
  const float root = __fmul_rn(__fsqrt_rn(v), s.inv_sqrt_bias2);
  const float q = __fdiv_rn(m, __fadd_rn(root, s.epsilon));
  return {__fmaf_rn(-s.step_size, q, p), m, v};
}

template <typename Param, typename Grad>
struct Pointers {
  float* master;
  float* exp_avg;
  float* exp_avg_sq;
  const Grad* grad;
  Param* param;  ///< null: master is the parameter
};

template <typename Param, typename Grad, bool kL2, int kCount>
__device__ __forceinline__ void step_at(const Pointers<Param, Grad>& at,
                                        const AdamWScalars& scalars, float factor, std::int64_t i) {
  auto p = load_pack<float, kCount>(at.master + i);
  auto m = load_pack<float, kCount>(at.exp_avg + i);
  auto v = load_pack<float, kCount>(at.exp_avg_sq + i);
  const auto g = load_pack<Grad, kCount>(at.grad + i);
  Pack<Param, kCount> rounded;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    const State next = update<kL2>(scalars, {p.at[j], m.at[j], v.at[j]}, to_float(g.at[j]), factor);
    p.at[j] = next.p;
    m.at[j] = next.m;
    v.at[j] = next.v;
    rounded.at[j] = from_float<Param>(next.p);
  }
  store_pack(at.master + i, p);
  store_pack(at.exp_avg + i, m);
  store_pack(at.exp_avg_sq + i, v);
  if (at.param != nullptr) {
    store_pack(at.param + i, rounded);
  }
}

template <typename Param, typename Grad, bool kL2, int kCount>
__global__ void adamw_kernel(Pointers<Param, Grad> at, AdamWScalars given,
                             const AdamWScalars* on_device, const float* grad_factor,
                             std::int64_t numel) {
  const float factor = *grad_factor;
  if (!isfinite(factor)) {
    return;
  }
  const AdamWScalars scalars = on_device != nullptr ? *on_device : given;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x * kCount;
  std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kCount;
  for (; i + kCount <= numel; i += step) {
    step_at<Param, Grad, kL2, kCount>(at, scalars, factor, i);
  }
  for (; i < numel; ++i) {
    step_at<Param, Grad, kL2, 1>(at, scalars, factor, i);
  }
}

template <typename Param, typename Grad>
void launch(const AdamWSpans& spans, const AdamWScalars& scalars, const void* on_device,
            const View& grad_factor, void* stream) {
  constexpr int kCount = 4;
  const std::int64_t numel = spans.master.numel;
  const bool same = spans.param.data == spans.master.data;
  const Pointers<Param, Grad> at{spans.master.as<float>(), spans.exp_avg.as<float>(),
                                 spans.exp_avg_sq.as<float>(), spans.grad.as<Grad>(),
                                 same ? nullptr : spans.param.as<Param>()};
  const auto fits = [](const void* data, std::size_t alignment) {
    return reinterpret_cast<std::uintptr_t>(data) % alignment == 0;
  };
  const bool packed = aligned16(at.master, at.exp_avg, at.exp_avg_sq) &&
                      fits(at.grad, alignof(Pack<Grad, kCount>)) &&
                      fits(at.param, alignof(Pack<Param, kCount>));
  auto* kernel =
      packed
          ? (scalars.l2 ? adamw_kernel<Param, Grad, true, kCount>
                        : adamw_kernel<Param, Grad, false, kCount>)
          : (scalars.l2 ? adamw_kernel<Param, Grad, true, 1> : adamw_kernel<Param, Grad, false, 1>);
  launch_kernel("adamw", kernel, dim3(grid_for(ceil_div(numel, packed ? kCount : 1), kThreads)),
                dim3(kThreads), 0, stream, at, scalars, static_cast<const AdamWScalars*>(on_device),
                grad_factor.as<float>(), numel);
}

}  // namespace

void adamw_cuda(const AdamWSpans& spans, const AdamWScalars& scalars, const void* on_device,
                const View& grad_factor, void* stream) {
  dispatch_float(spans.param.dtype, "adamw", [&](auto param_tag) {
    dispatch_float(spans.grad.dtype, "adamw", [&](auto grad_tag) {
      launch<typename decltype(param_tag)::Type, typename decltype(grad_tag)::Type>(
          spans, scalars, on_device, grad_factor, stream);
    });
  });
}

}  // namespace zt::kernels
