#include <cmath>
#include <type_traits>

#include "kernels/adamw/adamw_impl.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/philox.h"
#include "kernels/cpu/pool_loop.h"

namespace zt::kernels {
namespace {

/// The contract, one element at a time: for processors without fused multiply-add in vectors, and
/// for the ends of ranges.
template <typename Moment, typename Grad, typename Param, bool kL2>
struct ScalarLoop {
  const AdamWRange& range;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    float* __restrict p_out = range.master;
    Moment* __restrict m_out = static_cast<Moment*>(range.exp_avg);
    Moment* __restrict v_out = static_cast<Moment*>(range.exp_avg_sq);
    const Grad* __restrict g_in = static_cast<const Grad*>(range.grad);
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
      const float m = __builtin_fmaf(s.beta1, cpu::to_float(m_out[i]), s.one_minus_beta1 * g);
      const float v = __builtin_fmaf(s.beta2, cpu::to_float(v_out[i]), s.one_minus_beta2 * (g * g));
      const float q = m / (__builtin_sqrtf(v) * s.inv_sqrt_bias2 + s.epsilon);
      p = __builtin_fmaf(-s.step_size, q, p);
      p_out[i] = p;
      if constexpr (std::is_same_v<Moment, float>) {
        m_out[i] = m;
        v_out[i] = v;
      } else {
        const std::uint32_t word = cpu::element_word(
            range.rounding.seed, s.step, static_cast<std::uint64_t>(range.rounding.first + i));
        m_out[i] = cpu::round_stochastic(m, word & 0xffffU);
        v_out[i] = cpu::round_stochastic(v, word >> 16);
      }
      if constexpr (!std::is_same_v<Param, NoCopy>) {
        static_cast<Param*>(range.param)[i] = cpu::from_float<Param>(p);
      }
    }
  }
};

template <typename Moment, typename Grad, typename Param, bool kL2>
void scalar_loop(const AdamWRange& range, std::int64_t begin, std::int64_t end) {
  cpu::run_isa(cpu::host_isa(), ScalarLoop<Moment, Grad, Param, kL2>{range}, begin, end);
}

template <typename Moment, typename Grad>
AdamWLoop scalar_loop_of(DType param, bool has_param, bool l2) {
  const auto choose = [&]<typename Param>() -> AdamWLoop {
    return l2 ? &scalar_loop<Moment, Grad, Param, true> : &scalar_loop<Moment, Grad, Param, false>;
  };
  if (!has_param) return choose.template operator()<NoCopy>();
  if (param == DType::bf16) return choose.template operator()<cpu::Bf16>();
  if (param == DType::f16) return choose.template operator()<cpu::F16>();
  return choose.template operator()<float>();
}

template <typename Moment>
AdamWLoop scalar_loop_of(DType grad, DType param, bool has_param, bool l2) {
  if (grad == DType::bf16) return scalar_loop_of<Moment, cpu::Bf16>(param, has_param, l2);
  if (grad == DType::f16) return scalar_loop_of<Moment, cpu::F16>(param, has_param, l2);
  return scalar_loop_of<Moment, float>(param, has_param, l2);
}

/// Loops over one range and how it is cut for the vector loop.
struct Loops {
  AdamWLoop scalar = nullptr, simd = nullptr;  ///< simd null: scalar takes the whole range
  std::int64_t head = 0;                       ///< elements before the vector loop may begin
  std::int64_t step = kAdamWStep;
};

constexpr std::int64_t kLine = 64;  ///< bytes

/// Elements of `size` bytes before `param` reaches a cache line, where streamed stores may begin.
std::int64_t elements_to_line(const void* param, std::int64_t size) {
  const auto beyond = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(param) %
                                                static_cast<std::uintptr_t>(kLine));
  return beyond == 0 ? 0 : (kLine - beyond) / size;
}

/// From here on the copy does not stay in the caches anyway, and streaming it saves reading the
/// lines first: 30 bytes per parameter instead of 32 with 16 bits, 32 instead of 36 with fp32.
constexpr std::int64_t kStreamFrom = 1 << 20;

Loops choose_loops(const AdamWSpans& spans, bool l2, bool has_param, bool& stream) {
  const DType grad = spans.grad.dtype;
  const DType param = spans.param.dtype;
  const auto size = size_of(param).value;
  stream = has_param && spans.master.numel >= kStreamFrom;
  const std::int64_t to_line = stream ? elements_to_line(spans.param.data, size) : 0;
  if (spans.exp_avg.dtype == DType::f32) {
    return {scalar_loop_of<float>(grad, param, has_param, l2),
            adamw_simd_loop(grad, param, has_param, l2), to_line, kAdamWStep};
  }
  const std::int64_t beyond = spans.rounding.first % kAdamWRoundingStep;
  const std::int64_t to_block = beyond == 0 ? 0 : kAdamWRoundingStep - beyond;
  // Blocks of random numbers and cache lines must begin together to stream.
  const auto in_line = kLine / size;
  stream = stream && to_block % in_line == to_line % in_line;
  return {scalar_loop_of<cpu::Bf16>(grad, param, has_param, l2),
          adamw_rounding_loop(grad, param, has_param, l2), to_block, kAdamWRoundingStep};
}

}  // namespace

void adamw_cpu(const AdamWSpans& spans, const AdamWScalars& scalars, const View& grad_factor,
               memory::HostPool* pool) {
  const float factor = *grad_factor.as<float>();
  if (!std::isfinite(factor)) return;
  const bool has_param = spans.param.data != spans.master.data;
  const std::int64_t numel = spans.master.numel;
  AdamWRange range{.master = spans.master.as<float>(),
                   .exp_avg = spans.exp_avg.data,
                   .exp_avg_sq = spans.exp_avg_sq.data,
                   .grad = spans.grad.data,
                   .param = has_param ? spans.param.data : nullptr,
                   .factor = factor,
                   .scalars = scalars,
                   .rounding = spans.rounding};
  const Loops loops = choose_loops(spans, scalars.l2 != 0, has_param, range.stream_param);
  if (loops.simd == nullptr) {
    return cpu::chunk_loop([&](auto begin, auto end) { loops.scalar(range, begin, end); }, numel,
                           cpu::kLoopChunk, pool);
  }
  const std::int64_t head = std::min(numel, loops.head);
  const std::int64_t whole = (numel - head) / loops.step * loops.step;
  loops.scalar(range, 0, head);
  cpu::chunk_loop([&](auto begin, auto end) { loops.simd(range, head + begin, head + end); }, whole,
                  cpu::kLoopChunk, pool);
  loops.scalar(range, head + whole, numel);
}

}  // namespace zt::kernels
