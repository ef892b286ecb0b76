#pragma once

#include <string>
#include <string_view>

#include "config/json_reader.h"

namespace zt::config {

/// Reads one YAML document into the same values that JSON gives, each with its line. Scalars are
/// typed as PyYAML does (`yes`, `off`, `~`), except that `1e-4` is a number; quoted text stays
/// text. Anchors, aliases and merge keys (`<<`) are followed. `name` is used in messages
/// (`name:line`). Errors: JsonError for bad grammar, duplicate keys (all of them), a second
/// document, tags other than the standard ones, keys that are no scalars, nesting deeper than 64,
/// text above 1 MiB, more than 100,000 values after aliases are followed.
[[nodiscard]] Value read_yaml(std::string_view text, const std::string& name);

/// The kind that a scalar without quotes has in YAML.
[[nodiscard]] Value::Kind yaml_scalar_kind(const std::string& text);

}  // namespace zt::config
