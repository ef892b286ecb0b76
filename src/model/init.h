#pragma once

#include <cstdint>
#include <span>

#include "layout/layout.h"

namespace zt::model {

/// Initial values of elements [begin, begin + values.size()) of parameter `index` (Hugging Face's
/// initialisation; layout::Init says which). Each value depends on seed, index and element
/// only: any world size and sharding gives the same weights.
void fill_initial(const layout::ParamSpec& param, int index, std::uint64_t seed, std::int64_t begin,
                  std::span<float> values);

}  // namespace zt::model
