// Per-target arithmetic of the scan. Included once per instruction set by Highway's foreach_target,
// so the guard toggles instead of keeping it out.
#if defined(ZT_SCAN_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ZT_SCAN_SIMD_INL_H
#undef ZT_SCAN_SIMD_INL_H
#else
#define ZT_SCAN_SIMD_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/selective_scan/scan_group.h"
#include "kernels/selective_scan/selective_scan.h"

HWY_BEFORE_NAMESPACE();
namespace zt::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
/// At most a group's lanes.
using Floats = hn::CappedTag<float, kScanLanes>;
using Vec = hn::Vec<Floats>;
inline constexpr std::int64_t kWidth = hn::MaxLanes(Floats());

inline constexpr float kLn2 = 0.693147180559945309F;

/// a b + c, rounded once on every target.
HWY_INLINE Vec fused(Vec a, Vec b, Vec c) {
#if HWY_NATIVE_FMA
  return hn::MulAdd(a, b, c);
#else
  const Floats d;
  HWY_ALIGN float x[kWidth], y[kWidth], z[kWidth];
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (std::int64_t i = 0; i < kWidth; ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return hn::Load(d, z);
#endif
}

/// 2^r on [-1/2, 1/2] times 2^n for a whole n >= -126. The polynomial (degree 6, exact at 0) is
/// within 2e-9 of 2^r before rounding, 1.4 units of 2^-24 with it.
HWY_INLINE Vec scaled_power(Vec r, Vec n) {
  const Floats d;
  auto p = hn::Set(d, 0x1.41fbbcp-13F);
  p = fused(p, r, hn::Set(d, 0x1.5f3e54p-10F));
  p = fused(p, r, hn::Set(d, 0x1.3b2d4cp-7F));
  p = fused(p, r, hn::Set(d, 0x1.c6aee8p-5F));
  p = fused(p, r, hn::Set(d, 0x1.ebfbdcp-3F));
  p = fused(p, r, hn::Set(d, 0x1.62e430p-1F));
  p = fused(p, r, hn::Set(d, 1.0F));
#if HWY_TARGET <= HWY_AVX3
  return Vec{_mm512_scalef_ps(p.raw, n.raw)};
#else
  const hn::RebindToSigned<Floats> integers;
  const auto power = hn::ShiftLeft<23>(hn::ConvertTo(integers, n));
  return hn::BitCast(d, hn::Add(hn::BitCast(integers, p), power));
#endif
}

/// x, but at least `low`; NaN stays NaN.
HWY_INLINE Vec at_least(float low, Vec x) {
  const Floats d;
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  return hn::Max(hn::Set(d, low), x);  // the second operand where one is NaN
#else
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, low)), hn::Set(d, low), x);
#endif
}

/// 2^x for x <= 0, at least 2^-125; NaN stays NaN.
HWY_INLINE Vec power_of_two(Vec x) {
  const auto y = at_least(-125.0F, x);
  const auto n = hn::Round(y);
  return scaled_power(hn::Sub(y, n), n);
}

/// e^x for x <= 0, at least 2^-125: log2(e) in two parts, so that r is exact to 2^-24 of itself.
HWY_INLINE Vec power_of_e(Vec x) {
  const Floats d;
  const auto y = at_least(-86.0F, x);
  const auto high = hn::Set(d, 0x1.715476p+0F), low = hn::Set(d, 0x1.4ae0cp-26F);
  const auto n = hn::Round(hn::Mul(y, high));
  return scaled_power(fused(y, low, fused(y, high, hn::Neg(n))), n);
}

/// log(1 + e^x) of w = e^-|x|: with s = w / (2 + w), log(1 + w) = 2 atanh(s), a series in
/// s^2 <= 1/9.
HWY_INLINE Vec softplus(Vec x, Vec w) {
  const Floats d;
  const auto s = hn::Div(w, hn::Add(hn::Set(d, 2.0F), w));
  const auto q = hn::Mul(s, s);
  auto p = hn::Set(d, 1.0F / 15.0F);
  for (const float term :
       {1.0F / 13.0F, 1.0F / 11.0F, 1.0F / 9.0F, 1.0F / 7.0F, 1.0F / 5.0F, 1.0F / 3.0F, 1.0F}) {
    p = fused(p, q, hn::Set(d, term));
  }
  const auto log = hn::Mul(hn::Add(s, s), p);
  return hn::Add(at_least(0.0F, x), log);
}

/// 1 / (1 + e^-x) of w = e^-|x|.
HWY_INLINE Vec sigmoid(Vec x, Vec w) {
  const Floats d;
  const auto one = hn::Set(d, 1.0F);
  const auto top = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), w, one);
  return hn::Div(top, hn::Add(one, w));
}
HWY_INLINE Vec sigmoid(Vec x) { return sigmoid(x, power_of_e(hn::Neg(hn::Abs(x)))); }

}  // namespace zt::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
