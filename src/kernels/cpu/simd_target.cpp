#include "kernels/cpu/simd_target.h"

namespace zt::kernels::cpu {

SimdTarget simd_target() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("f16c");
  const bool avx3 = avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vl");
  if (avx3) return SimdTarget::avx3;
  if (avx2) return SimdTarget::avx2;
#elif defined(__aarch64__)
  return SimdTarget::neon;
#endif
  return SimdTarget::scalar;
}

const char* to_string(SimdTarget target) {
  switch (target) {
    case SimdTarget::avx2:
      return "AVX2";
    case SimdTarget::avx3:
      return "AVX-512";
    case SimdTarget::neon:
      return "NEON";
    case SimdTarget::scalar:
      break;
  }
  return "scalar";
}

}  // namespace zt::kernels::cpu
