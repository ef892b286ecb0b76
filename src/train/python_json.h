#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace zt::train {

// JSON as Python's json module reads and writes it: numbers may be NaN, Infinity and -Infinity.

/// The text that `json.dumps(value, indent=indent)` gives. Keys are sorted where `value` is.
[[nodiscard]] std::string to_python_json(const nlohmann::json& value, int indent);

/// Errors: FileError naming `source` when the text is not JSON in Python's sense, or is nested
/// beyond 64 levels.
[[nodiscard]] nlohmann::json from_python_json(const std::string& text, const std::string& source);

}  // namespace zt::train
