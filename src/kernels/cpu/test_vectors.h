#pragma once

#include <cstddef>
#include <random>
#include <type_traits>
#include <vector>

#include "kernels/cpu/half.h"
#include "memory/view.h"

namespace zt::kernels::test {

/// The elements of a vector of float, Bf16 or F16.
template <typename T>
View view_of(std::vector<T>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()),
          std::is_same_v<T, float>       ? DType::f32
          : std::is_same_v<T, cpu::Bf16> ? DType::bf16
                                         : DType::f16};
}

/// `count` standard normal values, the same for the same seed.
template <typename T>
std::vector<T> random_values(std::size_t count, unsigned seed = 5) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(cpu::from_float<T>(normal(generator)));
  }
  return values;
}

}  // namespace zt::kernels::test
