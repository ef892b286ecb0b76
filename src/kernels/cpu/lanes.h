#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace zt::kernels::cpu {

/// Sums term(0) .. term(count - 1) in 32 fp32 lanes and then pairwise: one fixed order for every
/// instruction set, and a loop that vectorises.
template <typename Term>
[[gnu::always_inline]] inline float lane_sum(std::int64_t count, const Term& term) {
  constexpr std::int64_t kLanes = 32;
  float lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] = lanes[l] + term(i + l);
  }
  for (std::int64_t l = 0; i + l < count; ++l) lanes[l] = lanes[l] + term(i + l);
  for (std::int64_t stride = kLanes / 2; stride > 0; stride /= 2) {
    for (std::int64_t l = 0; l < stride; ++l) lanes[l] = lanes[l] + lanes[l + stride];
  }
  return lanes[0];
}

/// Largest of term(0) .. term(count - 1); NaN terms are passed over.
template <typename Term>
[[gnu::always_inline]] inline float lane_max(std::int64_t count, const Term& term) {
  constexpr std::int64_t kLanes = 32;
  float lanes[kLanes];
  for (float& lane : lanes) lane = -INFINITY;
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) {
      const float value = term(i + l);
      lanes[l] = value > lanes[l] ? value : lanes[l];
    }
  }
  for (std::int64_t l = 0; i + l < count; ++l) {
    const float value = term(i + l);
    lanes[l] = value > lanes[l] ? value : lanes[l];
  }
  float result = lanes[0];
  for (const float lane : lanes) result = lane > result ? lane : result;
  return result;
}

/// e^x to 2 ulp, without branches; NaN stays NaN, overflow gives infinity.
/// Reduction by ln 2 in two parts (Cody & Waite), then a minimax polynomial of degree 6.
[[gnu::always_inline]] inline float exponential(float x) {
  constexpr float kLog2E = 1.44269504088896341F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kRound = 12582912.0F;  // 1.5 x 2^23: adding it rounds to an integer
  float y = x > 89.0F ? 89.0F : x;
  y = y < -87.0F ? -87.0F : y;
  const float n = (y * kLog2E + kRound) - kRound;
  float r = std::fma(-n, kLn2High, y);
  r = std::fma(-n, kLn2Low, r);
  float p = 1.0F / 720.0F;
  p = std::fma(p, r, 1.0F / 120.0F);
  p = std::fma(p, r, 1.0F / 24.0F);
  p = std::fma(p, r, 1.0F / 6.0F);
  p = std::fma(p, r, 0.5F);
  p = std::fma(p, r, 1.0F);
  p = std::fma(p, r, 1.0F);
  // 2^n in two factors: n reaches 128, whose exponent does not fit one.
  const auto exponent = static_cast<std::int32_t>(n);
  const auto half = exponent / 2;
  const float a = std::bit_cast<float>((half + 127) << 23);
  const float b = std::bit_cast<float>((exponent - half + 127) << 23);
  return p * a * b;
}

/// 1 / (1 + e^-x).
[[gnu::always_inline]] inline float sigmoid(float x) { return 1.0F / (1.0F + exponential(-x)); }

}  // namespace zt::kernels::cpu
