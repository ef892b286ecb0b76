#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// Scalars of one AdamW step over a flat range.
struct AdamWParams {
  double learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  bool l2 = false;  ///< decay added to the gradient (Adam) instead of decoupled (AdamW)
  bool bias_correction = true;
  std::int64_t step = 1;  ///< 1 for the first update
};

/// Where the random numbers of stochastic rounding come from: an element's depend on nothing but
/// seed, step and `first` + its index, so that bits do not depend on how a range is cut.
struct AdamWRounding {
  std::uint64_t seed = 0;
  std::int64_t first = 0;  ///< number of the range's first element in its unit or model
};

/// The flat buffers of one range. `param` (compute dtype) receives the rounded new master.
/// master, exp_avg, exp_avg_sq: fp32; on the CPU both moments may be bf16, rounded stochastically
/// (Philox4x32-10; 8 bytes less per parameter). grad: fp32, bf16 or fp16. `param` may equal
/// `master` when the compute dtype is fp32.
struct AdamWSpans {
  View master, exp_avg, exp_avg_sq, grad, param;
  AdamWRounding rounding{};  ///< used with bf16 moments
};

/// One fused pass: unscale + clip (grad x *grad_factor), decay, moments, update, cast.
///
/// Expression order (fp32, every `fma` explicit, the same bits on the CPU and on CUDA):
///   g = grad * factor;  l2: g = fma(wd, p, g);  else p = p * (1 - lr * wd)
///   m = fma(beta1, m, (1 - beta1) * g);  v = fma(beta2, v, (1 - beta2) * (g * g))
///   p = p - step_size * (m / (sqrt(v) * inv_sqrt_bias2 + eps))   written as fma(-step_size, q, p)
/// with step_size = lr / (1 - beta1^t), inv_sqrt_bias2 = 1 / sqrt(1 - beta2^t) computed in double
/// on the host and rounded to fp32 once. `grad_factor`: one fp32 on the launch device (1 / loss
/// scale x clip factor); when it is not finite, nothing is written (the step is skipped). On the
/// CPU the work is shared out over `launch.pool`; a 16-bit `param` of 1 Mi elements or more is
/// written past the caches: 16 bytes are read and 14 written per parameter. Source: Loshchilov &
/// Hutter, Decoupled Weight Decay Regularization, 2019, algorithm 2.
void adamw(const AdamWSpans& spans, const AdamWParams& params, const View& grad_factor,
           const Launch& launch);

/// Bytes of the scalars of one step as `write_adamw_scalars` fills them.
inline constexpr std::int64_t kAdamWScalarBytes = 40;
void write_adamw_scalars(const AdamWParams& params, std::byte* to);

/// The same with the step's scalars in the launch device's memory, read when the kernel runs: a
/// captured launch takes part in every step. `scalars`: u8 [kAdamWScalarBytes], 8-byte aligned.
/// `l2`: as in the params they were made from.
void adamw(const AdamWSpans& spans, const View& scalars, bool l2, const View& grad_factor,
           const Launch& launch);

}  // namespace zt::kernels
