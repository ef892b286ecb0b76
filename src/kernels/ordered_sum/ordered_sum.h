#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// The local half of an ordered reduction: out[i] = (accumulate ? out[i] : 0) + sum over ranks, in
/// rank order, in fp32, of parts[r * n + i]; the sum over ranks is formed first, then added to out;
/// rounded once into out.
/// Shapes: parts [world x n] wire dtype (fp32, bf16); out [n] fp32 or bf16.
void ordered_sum(const View& parts, int world, const View& out, bool accumulate,
                 const Launch& launch);

}  // namespace zt::kernels
