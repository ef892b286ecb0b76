#pragma once

#include "kernels/rms_norm/rms_norm.h"

namespace zt::kernels {

/// Rows whose weight gradient one CPU thread sums before partial sums are added.
inline constexpr std::int64_t kRmsNormRowsPerPartial = 64;

void rms_norm_forward_cpu(const RmsNormForward& io, const RmsNormShape& shape);
void rms_norm_backward_cpu(const RmsNormBackward& io, const RmsNormShape& shape);
void rms_norm_forward_cuda(const RmsNormForward& io, const RmsNormShape& shape, void* stream);
void rms_norm_backward_cuda(const RmsNormBackward& io, const RmsNormShape& shape, void* stream);

}  // namespace zt::kernels
