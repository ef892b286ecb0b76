#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace zt::data {

/// One decoded code point and the bytes it took.
struct CodePoint {
  std::uint32_t value = 0;
  std::uint32_t size = 1;
};

/// Decodes the code point at `pos` of valid UTF-8 (see `find_invalid_utf8`); `pos < text.size()`.
CodePoint decode_code_point(std::string_view text, std::size_t pos);

/// Appends `code_point` as UTF-8.
void append_utf8(std::uint32_t code_point, std::string& out);

/// Offset of the first byte that is not UTF-8 (overlong forms, surrogates and values above U+10FFFF
/// count as wrong), or npos.
std::size_t find_invalid_utf8(std::string_view text);

/// Throws FileError naming `what` and the byte offset when `text` is not UTF-8.
void require_utf8(std::string_view text, const std::string& what);

/// Replaces each maximal broken sequence by U+FFFD, as decoding with errors=replace does.
std::string replace_invalid_utf8(std::string_view bytes);

/// Bits that describe a code point; the first four are exclusive.
enum ClassBits : std::uint8_t {
  kLetter = 1,
  kNumber = 2,
  kSpace = 4,
  kMark = 8,
  kNonStarter = 16,  ///< combining class other than 0
  kNfcUnsafe = 32,   ///< may change under NFC, alone or beside a neighbour
};

/// One byte of ClassBits per code point, `0x110000` of them.
/// Source: read out of the `tokenizers` package, see tests/golden/make_unicode_classes.py.
const std::uint8_t* code_point_classes();

/// True for a composite unknown to the NFC of the `tokenizers` package: never built, never taken
/// apart.
bool is_never_composed(std::uint32_t code_point);

}  // namespace zt::data
