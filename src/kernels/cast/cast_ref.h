#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace zt::kernels::reference {

/// The value with `significand_bits` (implicit one included) nearest to `value`, ties to even,
/// denormals below 2^min_exponent, infinity from 2^(max_exponent + 1) on, in plain double
/// arithmetic.
inline double round_to(double value, int significand_bits, int min_exponent, int max_exponent) {
  if (!std::isfinite(value) || value == 0) {
    return value;
  }
  int exponent = 0;
  std::frexp(value, &exponent);  // value = f * 2^exponent, f in [0.5, 1)
  const int unit = std::max(exponent - 1, min_exponent) - (significand_bits - 1);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
  const double limit = std::ldexp(1.0, max_exponent + 1);
  return std::abs(rounded) >= limit ? std::copysign(std::numeric_limits<double>::infinity(), value)
                                    : rounded;
}
inline double round_to_bf16(double value) { return round_to(value, 8, -126, 127); }
inline double round_to_f16(double value) { return round_to(value, 11, -14, 15); }

}  // namespace zt::kernels::reference
