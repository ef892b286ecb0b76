#pragma once

#include <cstdint>

namespace zt::kernels::cpu {

/// Instruction sets that hand-written vector loops (Highway) are compiled for.
enum class SimdTarget : std::uint8_t { scalar, avx2, avx3, neon };

/// The best one of this processor. `scalar`: no fused multiply-add in vectors.
SimdTarget simd_target();
/// `scalar`, `AVX2`, `AVX-512`, `NEON`.
const char* to_string(SimdTarget target);

}  // namespace zt::kernels::cpu
