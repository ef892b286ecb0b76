// One loop per instruction set, compiled by Highway's foreach_target. The table of functions is our
// own (cpu/simd_target.h), so that nothing of libhwy is linked: its headers are enough.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw/adamw_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target:
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "kernels/adamw/adamw_impl.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/simd_target.h"

#ifndef ZT_ADAMW_SIMD_ONCE
#define ZT_ADAMW_SIMD_ONCE
namespace zt::kernels {
/// Stands for "no rounded copy".
struct NoCopy {};
}  // namespace zt::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace zt::kernels::HWY_NAMESPACE {
#if HWY_NATIVE_FMA

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using Words = hn::RebindToUnsigned<Floats>;
using Halves = hn::Rebind<std::uint16_t, Floats>;
using F16s = hn::Rebind<hwy::float16_t, Floats>;
using Vec = hn::Vec<Floats>;

HWY_INLINE Vec widen(const float* from) { return hn::LoadU(Floats(), from); }
HWY_INLINE Vec widen(const cpu::Bf16* from) {
  const auto bits = hn::LoadU(Halves(), reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(Words(), bits)));
}
HWY_INLINE Vec widen(const cpu::F16* from) {
  const auto bits = hn::LoadU(Halves(), reinterpret_cast<const std::uint16_t*>(from));
  return hn::PromoteTo(Floats(), hn::BitCast(F16s(), bits));
}

/// Bits of `value` rounded to the nearest even 16-bit float; NaN gives 0x7fff.
HWY_INLINE hn::Vec<Halves> round_bits(Vec value, cpu::Bf16 /*kind*/) {
  const Words words;
  const auto bits = hn::BitCast(words, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1U));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(words, 0x7fffU)), odd));
  const auto is_nan = hn::RebindMask(words, hn::IsNaN(value));
  return hn::TruncateTo(Halves(), hn::IfThenElse(is_nan, hn::Set(words, 0x7fffU), rounded));
}
HWY_INLINE hn::Vec<Halves> round_bits(Vec value, cpu::F16 /*kind*/) {
  const auto quiet = hn::BitCast(Floats(), hn::Set(Words(), 0x7fffffffU));
  const auto clean = hn::IfThenElse(hn::IsNaN(value), quiet, value);
  return hn::BitCast(Halves(), hn::DemoteTo(F16s(), clean));
}

template <typename Param>
HWY_INLINE void store(Vec value, Param* to, bool stream) {
  if constexpr (std::is_same_v<Param, float>) {
    hn::StoreU(value, Floats(), to);
  } else {
    auto* bits = reinterpret_cast<std::uint16_t*>(to);
    const auto rounded = round_bits(value, Param{});
    stream ? hn::Stream(rounded, Halves(), bits) : hn::StoreU(rounded, Halves(), bits);
  }
}

/// The constants of a step, one per lane.
struct Constants {
  Vec beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon, weight_decay, decay_factor,
      negative_step_size, inv_sqrt_bias2, factor;

  explicit Constants(const AdamWRange& range) {
    const Floats d;
    const AdamWScalars& s = range.scalars;
    beta1 = hn::Set(d, s.beta1);
    one_minus_beta1 = hn::Set(d, s.one_minus_beta1);
    beta2 = hn::Set(d, s.beta2);
    one_minus_beta2 = hn::Set(d, s.one_minus_beta2);
    epsilon = hn::Set(d, s.epsilon);
    weight_decay = hn::Set(d, s.weight_decay);
    decay_factor = hn::Set(d, s.decay_factor);
    negative_step_size = hn::Set(d, -s.step_size);
    inv_sqrt_bias2 = hn::Set(d, s.inv_sqrt_bias2);
    factor = hn::Set(d, range.factor);
  }
};

template <typename Grad, typename Param, bool kL2>
void loop(const AdamWRange& range, std::int64_t begin, std::int64_t end) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const Constants c(range);
  float* HWY_RESTRICT master = range.master;
  float* HWY_RESTRICT exp_avg = range.exp_avg;
  float* HWY_RESTRICT exp_avg_sq = range.exp_avg_sq;
  const Grad* HWY_RESTRICT grad = static_cast<const Grad*>(range.grad);
  const bool stream = range.stream_param;
  for (std::int64_t i = begin; i < end; i += lanes) {
    Vec p = hn::LoadU(d, master + i);
    Vec g = hn::Mul(widen(grad + i), c.factor);
    if constexpr (kL2) {
      g = hn::MulAdd(c.weight_decay, p, g);
    } else {
      p = hn::Mul(p, c.decay_factor);
    }
    const Vec m = hn::MulAdd(c.beta1, hn::LoadU(d, exp_avg + i), hn::Mul(c.one_minus_beta1, g));
    const Vec v = hn::MulAdd(c.beta2, hn::LoadU(d, exp_avg_sq + i),
                             hn::Mul(c.one_minus_beta2, hn::Mul(g, g)));
    const Vec root = hn::Add(hn::Mul(hn::Sqrt(v), c.inv_sqrt_bias2), c.epsilon);
    p = hn::MulAdd(c.negative_step_size, hn::Div(m, root), p);
    hn::StoreU(p, d, master + i);
    hn::StoreU(m, d, exp_avg + i);
    hn::StoreU(v, d, exp_avg_sq + i);
    if constexpr (!std::is_same_v<Param, NoCopy>) {
      store(p, static_cast<Param*>(range.param) + i, stream);
    }
  }
  if (stream) hwy::FlushStream();
}

template <typename Grad, typename Param>
AdamWLoop with_decay(bool l2) {
  return l2 ? &loop<Grad, Param, true> : &loop<Grad, Param, false>;
}

template <typename Grad>
AdamWLoop with_param(DType param, bool has_param, bool l2) {
  if (!has_param) return with_decay<Grad, NoCopy>(l2);
  if (param == DType::bf16) return with_decay<Grad, cpu::Bf16>(l2);
  if (param == DType::f16) return with_decay<Grad, cpu::F16>(l2);
  return with_decay<Grad, float>(l2);
}

AdamWLoop adamw_loop(DType grad, DType param, bool has_param, bool l2) {
  if (grad == DType::bf16) return with_param<cpu::Bf16>(param, has_param, l2);
  if (grad == DType::f16) return with_param<cpu::F16>(param, has_param, l2);
  return with_param<float>(param, has_param, l2);
}

#endif  // HWY_NATIVE_FMA
}  // namespace zt::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zt::kernels {

AdamWLoop adamw_simd_loop(DType grad, DType param, bool has_param, bool l2) {
  switch (cpu::simd_target()) {
#if HWY_TARGETS & HWY_AVX3
    case cpu::SimdTarget::avx3:
      return N_AVX3::adamw_loop(grad, param, has_param, l2);
#endif
#if HWY_TARGETS & HWY_AVX2
    case cpu::SimdTarget::avx2:
      return N_AVX2::adamw_loop(grad, param, has_param, l2);
#endif
#if HWY_TARGETS & HWY_NEON
    case cpu::SimdTarget::neon:
      return N_NEON::adamw_loop(grad, param, has_param, l2);
#endif
    default:
      return nullptr;
  }
}

}  // namespace zt::kernels
#endif  // HWY_ONCE
