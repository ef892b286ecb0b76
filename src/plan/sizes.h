#pragma once

#include <string>
#include <vector>

#include "plan/run_plan.h"

namespace zt::plan {

/// A model of a round size, for advice: `7B`, `13B`, `32B`, `65B`.
/// Source: LLaMA (Touvron et al., 2023), table 2, with Qwen3's blocks; 32B is Qwen3-32B.
[[nodiscard]] NamedModel model_of_size(const std::string& size);

/// Names that model_of_size knows, smallest first.
[[nodiscard]] std::vector<std::string> size_names();

}  // namespace zt::plan
