#include <cmath>
#include <type_traits>

#include "kernels/adamw/adamw_impl.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/pool_loop.h"

namespace zt::kernels {
namespace {

/// The contract, one element at a time: for processors without fused multiply-add in vectors, and
/// for the ends of ranges. `Param` is void when the master is the parameter itself.
template <typename Grad, typename Param, bool kL2>
struct ScalarLoop {
  const AdamWRange& range;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    float* __restrict p_out = range.master;
    float* __restrict m_out = range.exp_avg;
    float* __restrict v_out = range.exp_avg_sq;
    const Grad* __restrict g_in = static_cast<const Grad*>(range.grad);
    Param* __restrict rounded = static_cast<Param*>(range.param);
    const AdamWScalars s = range.scalars;
    const float grad_factor = range.factor;
    for (std::int64_t i = begin; i < end; ++i) {
      float p = p_out[i];
      float g = cpu::to_float(g_in[i]) * grad_factor;
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

template <typename Grad, typename Param, bool kL2>
void scalar_loop(const AdamWRange& range, std::int64_t begin, std::int64_t end) {
  cpu::run_isa(cpu::host_isa(), ScalarLoop<Grad, Param, kL2>{range}, begin, end);
}

template <typename Grad>
AdamWLoop scalar_loop_of(DType param, bool has_param, bool l2) {
  const auto choose = [&]<typename Param>() -> AdamWLoop {
    return l2 ? &scalar_loop<Grad, Param, true> : &scalar_loop<Grad, Param, false>;
  };
  if (!has_param) return choose.template operator()<void>();
  if (param == DType::bf16) return choose.template operator()<cpu::Bf16>();
  if (param == DType::f16) return choose.template operator()<cpu::F16>();
  return choose.template operator()<float>();
}

AdamWLoop scalar_loop_of(DType grad, DType param, bool has_param, bool l2) {
  if (grad == DType::bf16) return scalar_loop_of<cpu::Bf16>(param, has_param, l2);
  if (grad == DType::f16) return scalar_loop_of<cpu::F16>(param, has_param, l2);
  return scalar_loop_of<float>(param, has_param, l2);
}

/// Elements before `param` reaches a cache line, where streamed stores may begin.
std::int64_t elements_to_line(const void* param) {
  constexpr std::uintptr_t kLine = 64;
  const auto beyond = reinterpret_cast<std::uintptr_t>(param) % kLine;
  return beyond == 0 ? 0 : static_cast<std::int64_t>((kLine - beyond) / 2);
}

/// From here on a 16-bit copy does not stay in the caches anyway, and streaming it saves reading
/// the lines first: 30 bytes per parameter instead of 32.
constexpr std::int64_t kStreamFrom = 1 << 20;

}  // namespace

void adamw_cpu(const AdamWSpans& spans, const AdamWScalars& scalars, const View& grad_factor,
               memory::HostPool* pool) {
  const float factor = *grad_factor.as<float>();
  if (!std::isfinite(factor)) return;
  const bool has_param = spans.param.data != spans.master.data;
  const std::int64_t numel = spans.master.numel;
  const bool half_copy = has_param && size_of(spans.param.dtype).value == 2;
  const AdamWRange range{.master = spans.master.as<float>(),
                         .exp_avg = spans.exp_avg.as<float>(),
                         .exp_avg_sq = spans.exp_avg_sq.as<float>(),
                         .grad = spans.grad.data,
                         .param = has_param ? spans.param.data : nullptr,
                         .factor = factor,
                         .stream_param = half_copy && numel >= kStreamFrom,
                         .scalars = scalars};
  const auto scalar = scalar_loop_of(spans.grad.dtype, spans.param.dtype, has_param, scalars.l2);
  const auto simd = adamw_simd_loop(spans.grad.dtype, spans.param.dtype, has_param, scalars.l2);
  if (simd == nullptr) {
    return cpu::chunk_loop([&](auto begin, auto end) { scalar(range, begin, end); }, numel,
                           cpu::kLoopChunk, pool);
  }
  const std::int64_t head = range.stream_param ? std::min(numel, elements_to_line(range.param)) : 0;
  const std::int64_t whole = (numel - head) / kAdamWStep * kAdamWStep;
  scalar(range, 0, head);
  cpu::chunk_loop([&](auto begin, auto end) { simd(range, head + begin, head + end); }, whole,
                  cpu::kLoopChunk, pool);
  scalar(range, head + whole, numel);
}

}  // namespace zt::kernels
