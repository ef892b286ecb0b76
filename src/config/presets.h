#pragma once

#include <string>
#include <vector>

namespace zt::config {

/// Text of configs/config_<name>.yaml, which the program carries; null for an unknown name.
[[nodiscard]] const char* preset_text(const std::string& name);
/// Names that preset_text knows, smallest model first.
[[nodiscard]] std::vector<std::string> preset_names();

}  // namespace zt::config
