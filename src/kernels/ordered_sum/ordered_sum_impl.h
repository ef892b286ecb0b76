#pragma once

#include "kernels/ordered_sum/ordered_sum.h"

namespace zt::kernels {

/// Launchers; arguments were checked by `ordered_sum`. Per element, in fp32, each addition rounded:
///   s = parts[0]; s = s + parts[1]; ...; out = round(accumulate ? out + s : s)
/// With one rank s = parts[0] exactly. 16-bit NaN results become 0x7fff.
void ordered_sum_cpu(const View& parts, int world, const View& out, bool accumulate);
void ordered_sum_cuda(const View& parts, int world, const View& out, bool accumulate, void* stream);

}  // namespace zt::kernels
