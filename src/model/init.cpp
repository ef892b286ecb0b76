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

std::uint64_t bits_of(std::uint64_t key, std::int64_t element) {
  return mix(key ^ mix(static_cast<std::uint64_t>(element)));
}

/// One standard normal value by Box and Muller from two 32-bit halves.
float normal(std::uint64_t key, std::int64_t element) {
  const auto bits = bits_of(key, element);
  const double u = (static_cast<double>(bits >> 32) + 1.0) / 4294967297.0;
  const double v = static_cast<double>(bits & 0xFFFFFFFFU) / 4294967296.0;
  return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v));
}

/// One value of [0, 1).
double uniform(std::uint64_t key, std::int64_t element) {
  return static_cast<double>(bits_of(key, element) >> 11) * 0x1p-53;
}

/// Source: Mamba (Gu and Dao, 2023), appendix; Hugging Face MambaMixer.init_mamba_weights.
float time_step(const layout::ParamSpec& param, double share) {
  const double low = std::log(param.init_low), high = std::log(param.init_high);
  const double step = std::max(std::exp(low + share * (high - low)), param.init_floor);
  return static_cast<float>(step + std::log(-std::expm1(-step)));
}

float value_of(const layout::ParamSpec& param, std::uint64_t key, std::int64_t element) {
  const auto scale = static_cast<float>(param.init_scale);
  switch (param.init) {
    case layout::Init::zeros:
      return 0.0F;
    case layout::Init::ones:
      return 1.0F;
    case layout::Init::constant:
      return scale;
    case layout::Init::normal:
      return scale * normal(key, element);
    case layout::Init::uniform:
      return static_cast<float>(param.init_scale * (2.0 * uniform(key, element) - 1.0));
    case layout::Init::log_index:
      return static_cast<float>(std::log(static_cast<double>(element % param.shape.back() + 1)));
    case layout::Init::time_step:
      return time_step(param, uniform(key, element));
  }
  throw_assertion(__FILE__, __LINE__, "known Init", "unknown initialisation");
}

}  // namespace

void fill_initial(const layout::ParamSpec& param, int index, std::uint64_t seed, std::int64_t begin,
                  std::span<float> values) {
  const auto key = mix(mix(seed) + static_cast<std::uint64_t>(index));
  const auto count = static_cast<std::int64_t>(values.size());
#pragma omp parallel for schedule(static) if (count > 65536)
  for (std::int64_t i = 0; i < count; ++i) {
    values[static_cast<std::size_t>(i)] = value_of(param, key, begin + i);
  }
}

}  // namespace zt::model
