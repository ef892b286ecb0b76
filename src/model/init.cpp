#include "model/init.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace zt::model {
namespace {

/// Finaliser of splitmix64 (Steele et al., 2014): a counter-based generator.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

/// One standard normal value by Box and Muller from two 32-bit halves.
float normal(std::uint64_t key, std::int64_t element) {
  const auto bits = mix(key ^ mix(static_cast<std::uint64_t>(element)));
  const double u = (static_cast<double>(bits >> 32) + 1.0) / 4294967297.0;
  const double v = static_cast<double>(bits & 0xFFFFFFFFU) / 4294967296.0;
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v));
}

}  // namespace

void fill_initial(const layout::ParamSpec& param, int index, std::uint64_t seed, std::int64_t begin,
                  std::span<float> values) {
  if (param.init != layout::Init::normal) {
    std::fill(values.begin(), values.end(), param.init == layout::Init::ones ? 1.0F : 0.0F);
    return;
  }
  const auto key = mix(mix(seed) + static_cast<std::uint64_t>(index));
  const auto std_dev = static_cast<float>(param.init_std);
  const auto count = static_cast<std::int64_t>(values.size());
#pragma omp parallel for schedule(static) if (count > 65536)
  for (std::int64_t i = 0; i < count; ++i) {
    values[static_cast<std::size_t>(i)] = std_dev * normal(key, begin + i);
  }
}

}  // namespace zt::model
