#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace zt::config {

/// Whole numbers as users write them: `500`, `5e8`, `2.0`; surrounding blanks are allowed.
/// Nothing when the text is not a whole number that fits.
[[nodiscard]] std::optional<std::int64_t> parse_integer(std::string_view text);

/// Finite numbers: `2e-4`, `.5`, `+1`. Nothing for NaN, infinities, overflow and other text.
[[nodiscard]] std::optional<double> parse_real(std::string_view text);

/// yes/true/t/y/on/1 and no/false/f/n/off/0 in any letter case.
[[nodiscard]] std::optional<bool> parse_bool(std::string_view text);

/// Shortest text that reads back as the same number; whole numbers without a point.
[[nodiscard]] std::string format_real(double value);

[[nodiscard]] std::string lower_case(std::string_view text);
[[nodiscard]] std::string trimmed(std::string_view text);

/// Replaces control characters and cuts long text, so that it fits one line of a message.
[[nodiscard]] std::string shown(std::string_view text);

/// JSON text from URL-safe or plain base64. Nothing when the text is not base64.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

}  // namespace zt::config
