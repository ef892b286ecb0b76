// One loop per instruction set, compiled by Highway's foreach_target. The table of functions is our
// own (cpu/simd_target.h), so that nothing of libhwy is linked: its headers are enough.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw/adamw_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target:
#include "kernels/adamw/adamw_simd_inl.h"
#include "kernels/cpu/simd_target.h"

HWY_BEFORE_NAMESPACE();
namespace zt::kernels::HWY_NAMESPACE {
#if HWY_NATIVE_FMA

template <typename Grad, typename Param, bool kL2>
struct Loop {
  static void run(const AdamWRange& range, std::int64_t begin, std::int64_t end) {
    const Floats d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const Constants c(range);
    float* HWY_RESTRICT master = range.master;
    auto* HWY_RESTRICT exp_avg = static_cast<float*>(range.exp_avg);
    auto* HWY_RESTRICT exp_avg_sq = static_cast<float*>(range.exp_avg_sq);
    const Grad* HWY_RESTRICT grad = static_cast<const Grad*>(range.grad);
    const bool stream = range.stream_param;
    for (std::int64_t i = begin; i < end; i += lanes) {
      const Element now = update<kL2>(
          c, {hn::LoadU(d, master + i), hn::LoadU(d, exp_avg + i), hn::LoadU(d, exp_avg_sq + i)},
          widen(grad + i));
      hn::StoreU(now.master, d, master + i);
      hn::StoreU(now.exp_avg, d, exp_avg + i);
      hn::StoreU(now.exp_avg_sq, d, exp_avg_sq + i);
      if constexpr (!std::is_same_v<Param, NoCopy>) {
        store(now.master, static_cast<Param*>(range.param) + i, stream);
      }
    }
    if (stream) hwy::FlushStream();
  }
};

AdamWLoop adamw_loop(DType grad, DType param, bool has_param, bool l2) {
  return pick_loop<Loop>(grad, param, has_param, l2);
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
