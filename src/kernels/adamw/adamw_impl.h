#pragma once

#include "kernels/adamw/adamw.h"

namespace zt::kernels {

/// The fp32 scalars of one step, computed once in double on the host and rounded once each, so that
/// every device uses the same bits.
struct AdamWScalars {
  float beta1 = 0, one_minus_beta1 = 0;
  float beta2 = 0, one_minus_beta2 = 0;
  float epsilon = 0;
  float weight_decay = 0;    ///< used when `l2`
  float decay_factor = 1;    ///< 1 - lr * wd; used when not `l2`
  float step_size = 0;       ///< lr / (1 - beta1^t)
  float inv_sqrt_bias2 = 1;  ///< 1 / sqrt(1 - beta2^t)
  std::uint32_t l2 : 1 = 0;
  std::uint32_t step : 31 = 1;  ///< of the random numbers of stochastic rounding
};

/// Errors: InternalError when `step` < 1.
AdamWScalars make_adamw_scalars(const AdamWParams& params);

/// Launchers; arguments were checked by `adamw`. `spans.param.data == spans.master.data` means: no
/// rounded copy is written.
///   g = grad * factor
///   l2 ? g = fma(weight_decay, p, g) : p = p * decay_factor
///   m = fma(beta1, m, one_minus_beta1 * g)
///   v = fma(beta2, v, one_minus_beta2 * (g * g))
///   q = m / (sqrt(v) * inv_sqrt_bias2 + epsilon)      each operation rounded on its own
///   p = fma(-step_size, q, p)
/// Every operation is IEEE fp32, round to nearest, denormals kept. Rounding into a 16-bit `param`:
/// nearest even; NaN becomes 0x7fff (both in bf16 and fp16). 16-bit gradients and moments are
/// widened exactly; the update uses the new moments before they are rounded.
void adamw_cpu(const AdamWSpans& spans, const AdamWScalars& scalars, const View& grad_factor,
               memory::HostPool* pool);
/// `on_device`: read instead of `scalars` (except l2) when not null.
void adamw_cuda(const AdamWSpans& spans, const AdamWScalars& scalars, const void* on_device,
                const View& grad_factor, void* stream);

/// What the loops of one range read and write. `param` null: the master is the parameter.
struct AdamWRange {
  float* master = nullptr;
  void* exp_avg = nullptr;  ///< fp32; bf16 in the loops of adamw_rounding_loop
  void* exp_avg_sq = nullptr;
  const void* grad = nullptr;
  void* param = nullptr;
  float factor = 1;
  bool stream_param = false;  ///< the copy goes past the caches: one of many elements
  AdamWScalars scalars;
  AdamWRounding rounding;
};

/// Stands for "no rounded copy" among the types of a loop.
struct NoCopy {};

/// Elements [begin, end) of a range, a multiple of kAdamWStep of them, in vectors.
using AdamWLoop = void (*)(const AdamWRange& range, std::int64_t begin, std::int64_t end);
inline constexpr std::int64_t kAdamWStep = 32;

/// The loop for these element types and this processor's best instruction set; null where it has no
/// fused multiply-add in vectors (the scalar loop takes over). `has_param` as in AdamWRange.
AdamWLoop adamw_simd_loop(DType grad, DType param, bool has_param, bool l2);

/// The same for moments in bf16. Ranges begin where rounding.first + begin is a multiple of
/// kAdamWRoundingStep and have a multiple of it.
AdamWLoop adamw_rounding_loop(DType grad, DType param, bool has_param, bool l2);
inline constexpr std::int64_t kAdamWRoundingStep = 64;

}  // namespace zt::kernels
