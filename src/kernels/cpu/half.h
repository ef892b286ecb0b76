#pragma once

#include <bit>
#include <cstdint>

namespace zt::kernels::cpu {

/// Storage of the 16-bit floats; arithmetic happens in fp32.
struct Bf16 {
  std::uint16_t bits = 0;
};
struct F16 {
  std::uint16_t bits = 0;
};

/// Widening is exact. Branch-free, so that loops over it vectorise.
[[gnu::always_inline]] inline float to_float(float value) { return value; }
[[gnu::always_inline]] inline float to_float(Bf16 value) {
  return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}
[[gnu::always_inline]] inline float to_float(F16 value) {
  const std::uint32_t magnitude = value.bits & 0x7fffU;
  const std::uint32_t sign = (value.bits & 0x8000U) << 16;
  // Re-biasing the exponent by a multiplication also normalises denormals.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  const std::uint32_t special = magnitude >= 0x7c00U ? 0x7f800000U : 0U;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | special | sign);
}

/// Narrowing rounds to nearest even; NaN becomes 0x7fff, overflow becomes infinity.
template <typename To>
To from_float(float value);
template <>
[[gnu::always_inline]] inline float from_float<float>(float value) {
  return value;
}
template <>
[[gnu::always_inline]] inline Bf16 from_float<Bf16>(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
  return {static_cast<std::uint16_t>(is_nan ? 0x7fffU : rounded)};
}
template <>
[[gnu::always_inline]] inline F16 from_float<F16>(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  // Normal range: move the exponent bias from 127 to 15, then round at bit 13.
  const std::uint32_t normal = (magnitude - 0x38000000U + 0xfffU + ((magnitude >> 13) & 1U)) >> 13;
  // Below 2^-14: adding 0.5 leaves the value in units of 2^-24, rounded by the addition.
  const std::uint32_t denormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3f000000U;
  std::uint32_t result = magnitude < 0x38800000U ? denormal : normal;
  result = magnitude >= 0x47800000U ? 0x7c00U : result;
  result |= sign;
  return {static_cast<std::uint16_t>(magnitude > 0x7f800000U ? 0x7fffU : result)};
}

/// Rounds up with the probability that the bits below say: `random` is uniform in [0, 65536).
/// Infinity stays, NaN becomes 0x7fff.
[[gnu::always_inline]] inline Bf16 round_stochastic(float value, std::uint32_t random) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  const std::uint32_t rounded = (magnitude < 0x7f800000U ? bits + random : bits) >> 16;
  return {static_cast<std::uint16_t>(magnitude > 0x7f800000U ? 0x7fffU : rounded)};
}

}  // namespace zt::kernels::cpu
