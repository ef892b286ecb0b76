#include <cmath>
#include <type_traits>

#include "kernels/adamw/adamw_impl.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/simd_loop.h"

namespace zt::kernels {
namespace {

/// `Param` is the type of the rounded copy, or void when the master is the parameter itself.
template <typename Param, bool kL2>
struct AdamWLoop {
  float* master;
  float* exp_avg;
  float* exp_avg_sq;
  const float* grad;
  Param* param;
  float factor;
  AdamWScalars scalars;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    float* __restrict p_out = master;
    float* __restrict m_out = exp_avg;
    float* __restrict v_out = exp_avg_sq;
    const float* __restrict g_in = grad;
    Param* __restrict rounded = param;
    const AdamWScalars s = scalars;
    const float grad_factor = factor;
    for (std::int64_t i = begin; i < end; ++i) {
      float p = p_out[i];
      float g = g_in[i] * grad_factor;
      if constexpr (kL2) {
        g = __builtin_fmaf(s.weight_decay, p, g);
      } else {
        p = p * s.decay_factor;
      }
      const float m = __builtin_fmaf(s.beta1, m_out[i], s.one_minus_beta1 * g);
      const float v = __builtin_fmaf(s.beta2, v_out[i], s.one_minus_beta2 * (g * g));
      const float q = m / (__builtin_sqrtf(v) * s.inv_sqrt_bias2 + s.epsilon);
      p = __builtin_fmaf(-s.step_size, q, p);
      p_out[i] = p;
      m_out[i] = m;
      v_out[i] = v;
      if constexpr (!std::is_void_v<Param>) {
        rounded[i] = cpu::from_float<Param>(p);
      }
    }
  }
};

template <typename Param>
void run(const AdamWSpans& spans, const AdamWScalars& scalars, float factor) {
  const auto loop = [&]<bool kL2>() {
    cpu::simd_loop(AdamWLoop<Param, kL2>{spans.master.as<float>(), spans.exp_avg.as<float>(),
                                         spans.exp_avg_sq.as<float>(), spans.grad.as<float>(),
                                         spans.param.as<Param>(), factor, scalars},
                   spans.master.numel);
  };
  scalars.l2 ? loop.template operator()<true>() : loop.template operator()<false>();
}

}  // namespace

void adamw_cpu(const AdamWSpans& spans, const AdamWScalars& scalars, const View& grad_factor) {
  const float factor = *grad_factor.as<float>();
  if (!std::isfinite(factor)) {
    return;
  }
  if (spans.param.data == spans.master.data) {
    return run<void>(spans, scalars, factor);
  }
  switch (spans.param.dtype) {
    case DType::f32:
      return run<float>(spans, scalars, factor);
    case DType::bf16:
      return run<cpu::Bf16>(spans, scalars, factor);
    case DType::f16:
      return run<cpu::F16>(spans, scalars, factor);
    default:
      ZT_ASSERT(false, "checked by adamw");
  }
}

}  // namespace zt::kernels
