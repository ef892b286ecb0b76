#pragma once

#include <string>
#include <vector>

#include "plan/run_plan.h"

namespace zt::plan {

/// A model of a round size: `7B`, `13B`, `32B`, `65B`, `70B`.
/// Source: LLaMA (Touvron et al., 2023), table 2, with Qwen3's blocks; 32B is Qwen3-32B, 70B has
/// the widths of Llama 2 (Touvron et al., 2023).
[[nodiscard]] NamedModel model_of_size(const std::string& size);

[[nodiscard]] bool is_size(const std::string& name);
/// Sizes that advice is given for, smallest first.
[[nodiscard]] std::vector<std::string> size_names();

}  // namespace zt::plan
