// Per-target pieces of the vector loops. Included once per instruction set by Highway's
// foreach_target, so the guard toggles instead of keeping it out.
#if defined(ZT_ADAMW_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ZT_ADAMW_SIMD_INL_H
#undef ZT_ADAMW_SIMD_INL_H
#else
#define ZT_ADAMW_SIMD_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <type_traits>

#include "kernels/adamw/adamw_impl.h"
#include "kernels/cpu/half.h"

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
    stream ? hn::Stream(value, Floats(), to) : hn::StoreU(value, Floats(), to);
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

/// What one vector of elements holds.
struct Element {
  Vec master, exp_avg, exp_avg_sq;
};

/// The contract of adamw_impl.h.
template <bool kL2>
HWY_INLINE Element update(const Constants& c, Element old, Vec grad) {
  Vec p = old.master;
  Vec g = hn::Mul(grad, c.factor);
  if constexpr (kL2) {
    g = hn::MulAdd(c.weight_decay, p, g);
  } else {
    p = hn::Mul(p, c.decay_factor);
  }
  const Vec m = hn::MulAdd(c.beta1, old.exp_avg, hn::Mul(c.one_minus_beta1, g));
  const Vec v = hn::MulAdd(c.beta2, old.exp_avg_sq, hn::Mul(c.one_minus_beta2, hn::Mul(g, g)));
  const Vec root = hn::Add(hn::Mul(hn::Sqrt(v), c.inv_sqrt_bias2), c.epsilon);
  return {hn::MulAdd(c.negative_step_size, hn::Div(m, root), p), m, v};
}

template <template <typename, typename, bool> class Loop, typename Grad, typename Param>
AdamWLoop with_decay(bool l2) {
  return l2 ? &Loop<Grad, Param, true>::run : &Loop<Grad, Param, false>::run;
}

template <template <typename, typename, bool> class Loop, typename Grad>
AdamWLoop with_param(DType param, bool has_param, bool l2) {
  if (!has_param) return with_decay<Loop, Grad, NoCopy>(l2);
  if (param == DType::bf16) return with_decay<Loop, Grad, cpu::Bf16>(l2);
  if (param == DType::f16) return with_decay<Loop, Grad, cpu::F16>(l2);
  return with_decay<Loop, Grad, float>(l2);
}

/// Loop<Grad, Param, kL2>::run for the types of a call.
template <template <typename, typename, bool> class Loop>
AdamWLoop pick_loop(DType grad, DType param, bool has_param, bool l2) {
  if (grad == DType::bf16) return with_param<Loop, cpu::Bf16>(param, has_param, l2);
  if (grad == DType::f16) return with_param<Loop, cpu::F16>(param, has_param, l2);
  return with_param<Loop, float>(param, has_param, l2);
}

#endif  // HWY_NATIVE_FMA
}  // namespace zt::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
