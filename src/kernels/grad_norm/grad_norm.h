#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// Sum of squares of `grad` (fp32, bf16 or fp16, any length) into out[index] (fp64), in one fixed
/// order that is the same on the CPU and on CUDA: chunks of 1024 elements; in a chunk 256 lanes
/// each add elements l, l+256, l+512, l+768 with fp32 fma, then a pairwise tree over the lanes
/// (stride 128, 64, ..., 1) in fp32; chunk sums are added in fp64: lane i of 256 adds chunks i,
/// i+256, ... in order, then the same pairwise tree in fp64. Missing elements count as 0.
/// `workspace`: fp32 [ceil(numel / 1024)] on the launch device (unused on the CPU).
void sum_of_squares(const View& grad, const View& out, std::int64_t index, const View& workspace,
                    const Launch& launch);

/// Combines all partial sums in index order into norm = sqrt(sum) * inverse_scale and the clip
/// factor. Shapes: partials fp64 [n]; inverse_scale fp64 [1] on the launch device: 1 / the loss
/// scale of these gradients; result fp64 [2] = {norm, factor}; grad_factor fp32 [1] = factor.
/// factor = inverse_scale * min(1, max_norm / (norm + 1e-6)), or inverse_scale when max_norm <= 0;
/// NaN when the norm is not finite (adamw then writes nothing). Source:
/// torch.nn.utils.clip_grad_norm_ (the 1e-6), DeepSpeed 3.3.
void clip_factor(const View& partials, double max_norm, const View& inverse_scale,
                 const View& result, const View& grad_factor, const Launch& launch);

}  // namespace zt::kernels
