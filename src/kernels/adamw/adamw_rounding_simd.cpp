// Moments in bf16, rounded stochastically: as adamw_simd.cpp, in blocks of 64 elements that share
// 16 counters of the random numbers.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw/adamw_rounding_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target:
#include "kernels/adamw/adamw_simd_inl.h"
#include "kernels/cpu/philox.h"
#include "kernels/cpu/simd_target.h"

HWY_BEFORE_NAMESPACE();
namespace zt::kernels::HWY_NAMESPACE::rounding {
#if HWY_NATIVE_FMA

/// Four random words per lane.
struct Random {
  hn::Vec<Words> words[4];
};

/// Low and high halves of the 64-bit products of every lane with one constant.
struct Product {
  hn::Vec<Words> low, high;
};

HWY_INLINE Product multiply(hn::Vec<Words> a, std::uint32_t constant) {
  const Words words;
  const hn::RepartitionToWide<Words> wide;
  const auto factor = hn::Set(words, constant);
  const auto even = hn::MulEven(a, factor);
  const auto odd =
      hn::MulEven(hn::BitCast(words, hn::ShiftRight<32>(hn::BitCast(wide, a))), factor);
  const auto lower = hn::Set(wide, 0xffffffffULL);
  return {hn::BitCast(words, hn::Or(hn::And(even, lower), hn::ShiftLeft<32>(odd))),
          hn::BitCast(words, hn::Or(hn::ShiftRight<32>(even), hn::AndNot(lower, odd)))};
}

/// cpu::philox for the counters `first` + lane; they do not cross a multiple of 2^32.
HWY_INLINE Random philox_lanes(const AdamWRange& range, std::uint64_t first) {
  const Words words;
  auto c0 = hn::Add(hn::Set(words, static_cast<std::uint32_t>(first)), hn::Iota(words, 0U));
  auto c1 = hn::Set(words, static_cast<std::uint32_t>(first >> 32));
  auto c2 = hn::Set(words, static_cast<std::uint32_t>(range.scalars.step));
  auto c3 = hn::Zero(words);
  auto k0 = static_cast<std::uint32_t>(range.rounding.seed);
  auto k1 = static_cast<std::uint32_t>(range.rounding.seed >> 32);
  for (int round = 0; round < cpu::kPhiloxRounds; ++round) {
    const Product a = multiply(c0, cpu::kPhiloxMultiplier0);
    const Product b = multiply(c2, cpu::kPhiloxMultiplier1);
    c0 = hn::Xor(hn::Xor(b.high, c1), hn::Set(words, k0));
    c2 = hn::Xor(hn::Xor(a.high, c3), hn::Set(words, k1));
    c1 = b.low;
    c3 = a.low;
    k0 += cpu::kPhiloxWeyl0;
    k1 += cpu::kPhiloxWeyl1;
  }
  return {{c0, c1, c2, c3}};
}

/// cpu::round_stochastic; `random` < 65536 in every lane.
HWY_INLINE hn::Vec<Halves> round_randomly(Vec value, hn::Vec<Words> random) {
  const Words words;
  const auto bits = hn::BitCast(words, value);
  const auto magnitude = hn::And(bits, hn::Set(words, 0x7fffffffU));
  const auto infinite = hn::Set(words, 0x7f800000U);
  const auto moved = hn::IfThenElse(hn::Lt(magnitude, infinite), hn::Add(bits, random), bits);
  const auto is_nan = hn::Gt(magnitude, infinite);
  return hn::TruncateTo(Halves(),
                        hn::IfThenElse(is_nan, hn::Set(words, 0x7fffU), hn::ShiftRight<16>(moved)));
}

template <typename Grad, typename Param, bool kL2>
HWY_INLINE void step_lanes(const AdamWRange& range, const Constants& c, std::int64_t i,
                           hn::Vec<Words> random) {
  const Floats d;
  float* master = range.master + i;
  auto* exp_avg = static_cast<cpu::Bf16*>(range.exp_avg) + i;
  auto* exp_avg_sq = static_cast<cpu::Bf16*>(range.exp_avg_sq) + i;
  const Element now = update<kL2>(c, {hn::LoadU(d, master), widen(exp_avg), widen(exp_avg_sq)},
                                  widen(static_cast<const Grad*>(range.grad) + i));
  hn::StoreU(now.master, d, master);
  const auto low = hn::And(random, hn::Set(Words(), 0xffffU));
  hn::StoreU(round_randomly(now.exp_avg, low), Halves(), reinterpret_cast<std::uint16_t*>(exp_avg));
  hn::StoreU(round_randomly(now.exp_avg_sq, hn::ShiftRight<16>(random)), Halves(),
             reinterpret_cast<std::uint16_t*>(exp_avg_sq));
  if constexpr (!std::is_same_v<Param, NoCopy>) {
    store(now.master, static_cast<Param*>(range.param) + i, range.stream_param);
  }
}

template <typename Grad, typename Param, bool kL2>
struct Loop {
  static void run(const AdamWRange& range, std::int64_t begin, std::int64_t end) {
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(Floats()));
    const Constants c(range);
    for (std::int64_t i = begin; i < end; i += kAdamWRoundingStep) {
      const auto block = static_cast<std::uint64_t>(range.rounding.first + i) / kAdamWRoundingStep;
      for (std::int64_t lane = 0; lane < 16; lane += lanes) {
        const Random random = philox_lanes(range, block * 16 + static_cast<std::uint64_t>(lane));
        for (int word = 0; word < 4; ++word) {
          step_lanes<Grad, Param, kL2>(range, c, i + 16 * word + lane, random.words[word]);
        }
      }
    }
    if (range.stream_param) hwy::FlushStream();
  }
};

AdamWLoop rounding_loop(DType grad, DType param, bool has_param, bool l2) {
  return pick_loop<Loop>(grad, param, has_param, l2);
}

#endif  // HWY_NATIVE_FMA
}  // namespace zt::kernels::HWY_NAMESPACE::rounding
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zt::kernels {

AdamWLoop adamw_rounding_loop(DType grad, DType param, bool has_param, bool l2) {
  switch (cpu::simd_target()) {
#if HWY_TARGETS & HWY_AVX3
    case cpu::SimdTarget::avx3:
      return N_AVX3::rounding::rounding_loop(grad, param, has_param, l2);
#endif
#if HWY_TARGETS & HWY_AVX2
    case cpu::SimdTarget::avx2:
      return N_AVX2::rounding::rounding_loop(grad, param, has_param, l2);
#endif
#if HWY_TARGETS & HWY_NEON
    case cpu::SimdTarget::neon:
      return N_NEON::rounding::rounding_loop(grad, param, has_param, l2);
#endif
    default:
      return nullptr;
  }
}

}  // namespace zt::kernels
#endif  // HWY_ONCE
