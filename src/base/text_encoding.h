#pragma once

#include <string_view>

namespace zt {

/// What some programs write before UTF-8.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// The encoding of a file of text as its first bytes tell it, as iconv names it, where that is not
/// UTF-8: UTF-16LE, UTF-16BE, UTF-32LE or UTF-32BE; empty for anything else.
/// Source: byte order marks, and RFC 4627, section 3 (the pattern of zero bytes).
[[nodiscard]] std::string_view foreign_encoding(std::string_view text);

}  // namespace zt
