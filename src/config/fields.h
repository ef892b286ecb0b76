#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"

namespace zt::config {

enum class FieldType : std::uint8_t { boolean, integer, real, text, choice, bytes };

/// Valid numbers of a field.
struct Range {
  double low = -1e300, high = 1e300;
  bool low_open = false, high_open = false;  ///< the end itself is not valid
};

/// One field of the Config tree. Flags, JSON keys, `describe` and `--help` read and write fields
/// only through this table.
struct Field {
  const char* path;  ///< `zero.stage`
  FieldType type;
  std::string choices;  ///< of a choice: `a|b|c`
  Range range;
  std::string (*get)(const Config&);
  bool (*set)(Config&, const std::string&);  ///< false: the text is not of the type
};

/// Every field, sections in the order of `Config`.
[[nodiscard]] const std::vector<Field>& fields();

/// The field at `path`. Errors: InternalError when there is none.
[[nodiscard]] const Field& field_at(const std::string& path);

/// Writes `text` into the field. Returns what is expected when type or range forbid it (the config
/// is then unspecified at that field), else an empty string.
[[nodiscard]] std::string set_field(Config& config, const Field& field, const std::string& text);

/// `a whole number >= 1`, `one of cpu, none`.
[[nodiscard]] std::string expected_text(const Field& field);

}  // namespace zt::config
