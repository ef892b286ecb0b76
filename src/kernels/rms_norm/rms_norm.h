#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// RMSNorm as Hugging Face computes it: normalise in fp32, round to the dtype of the weight, then
/// multiply by the weight in that dtype. x, residual, sum and grad_x are of one dtype, the rest of
/// the dtype of the weight: the same, or x is fp32 beside 16-bit weights (Mamba's residual in
/// fp32).
struct RmsNormShape {
  std::int64_t rows = 0, cols = 0;
  float epsilon = 1e-6F;
};

/// y = weight * round(x * rstd). Shapes: x, y [rows x cols]; weight [cols]; rstd fp32 [rows] (may
/// be empty: not kept). When `residual` is not empty: sum = x + residual (rounded to x's
/// dtype) is written to `sum` [rows x cols] and normalised instead of x; `sum` may be `residual`.
struct RmsNormForward {
  View x, residual, sum, weight, y, rstd;
};
void rms_norm_forward(const RmsNormForward& io, const RmsNormShape& shape, const Launch& launch);

/// grad_x = d y/d x applied to grad_y, plus `grad_residual` when that is not empty (the gradient
/// that reaches x past the norm); grad_weight += column sums (fixed order over rows). grad_x may be
/// grad_residual. Shapes: x, grad_y, grad_x [rows x cols]; rstd fp32 [rows];
/// grad_weight [cols] fp32 or 16-bit; workspace fp32 [rms_norm_workspace(shape)].
struct RmsNormBackward {
  View x, weight, rstd, grad_y, grad_residual, grad_x, grad_weight, workspace;
};
void rms_norm_backward(const RmsNormBackward& io, const RmsNormShape& shape, const Launch& launch);

/// fp32 elements of workspace that the backward needs.
std::int64_t rms_norm_workspace(const RmsNormShape& shape);

}  // namespace zt::kernels
