#pragma once

#include "kernels/qk_norm_rope/qk_norm_rope.h"

namespace zt::kernels {

/// Tokens whose weight gradients one CPU thread sums before partial sums are added.
inline constexpr std::int64_t kQkTokensPerPartial = 32;

void qk_norm_rope_forward_cpu(const QkNormRopeForward& io, const QkNormRopeShape& shape);
void qk_norm_rope_backward_cpu(const QkNormRopeBackward& io, const QkNormRopeShape& shape);
void qk_norm_rope_forward_cuda(const QkNormRopeForward& io, const QkNormRopeShape& shape,
                               void* stream);
void qk_norm_rope_backward_cuda(const QkNormRopeBackward& io, const QkNormRopeShape& shape,
                                void* stream);

}  // namespace zt::kernels
