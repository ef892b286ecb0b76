#pragma once

#include "kernels/grad_norm/grad_norm.h"

namespace zt::kernels {

/// Elements of one chunk and lanes of one chunk or of the sum over chunks.
inline constexpr std::int64_t kNormChunk = 1024;
inline constexpr std::int64_t kNormLanes = 256;

/// Launchers; arguments were checked by the functions of grad_norm.h. An empty `grad` writes 0.
void sum_of_squares_cpu(const View& grad, const View& out, std::int64_t index,
                        memory::HostPool* pool);
void sum_of_squares_cuda(const View& grad, const View& out, std::int64_t index,
                         const View& workspace, void* stream);

/// sum = partials in index order in fp64; norm = sqrt(sum) * inverse_scale;
/// limit = max_norm > 0 ? max_norm / (norm + 1e-6) : 1; factor = inverse_scale * (limit < 1 ? limit
/// : 1), NaN when the norm is not finite; all fp64, grad_factor rounded to fp32 once. No fma.
void clip_factor_cpu(const View& partials, double max_norm, const View& inverse_scale,
                     const View& result, const View& grad_factor);
void clip_factor_cuda(const View& partials, double max_norm, const View& inverse_scale,
                      const View& result, const View& grad_factor, void* stream);

}  // namespace zt::kernels
