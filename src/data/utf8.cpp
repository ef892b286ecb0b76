#include "data/utf8.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace zt::data {
namespace {

struct CodePointRange {
  std::uint32_t first, last;
};

#include "data/unicode_classes.inc"

/// Length of the well-formed sequence at `pos`, or 0; `*broken` gets the length of the maximal
/// broken prefix (Unicode, table 3-7).
std::size_t sequence_length(std::string_view text, std::size_t pos, std::size_t* broken) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned lead = byte(pos);
  *broken = 1;
  if (lead < 0x80) return 1;
  std::size_t length = 0;
  unsigned low = 0x80, high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    const unsigned next = byte(pos + i);
    if (next < low || next > high) return 0;
    *broken = i + 1;
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

template <std::size_t N>
void mark(std::vector<std::uint8_t>& table, const CodePointRange (&ranges)[N], std::uint8_t bit) {
  for (const CodePointRange& range : ranges) {
    for (std::uint32_t c = range.first; c <= range.last; ++c) table[c] |= bit;
  }
}

std::vector<std::uint8_t> build_classes() {
  std::vector<std::uint8_t> table(0x110000, 0);
  mark(table, kLetters, kLetter);
  mark(table, kNumbers, kNumber);
  mark(table, kMarks, kMark);
  mark(table, kSpaces, kSpace);
  mark(table, kNonStarters, kNonStarter);
  mark(table, kUnsafe, kNfcUnsafe);
  return table;
}

}  // namespace

CodePoint decode_code_point(std::string_view text, std::size_t pos) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[pos + i]); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3Fu), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu), 3};
  return {
      (lead & 0x07) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu),
      4};
}

void append_utf8(std::uint32_t c, std::string& out) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t pos = 0, broken = 0;
  while (pos < text.size()) {
    std::uint64_t word = 0;
    if (pos + sizeof word <= text.size()) {
      std::memcpy(&word, text.data() + pos, sizeof word);
      if ((word & 0x8080808080808080ULL) == 0) {
        pos += sizeof word;
        continue;
      }
    }
    const std::size_t length = sequence_length(text, pos, &broken);
    if (length == 0) return pos;
    pos += length;
  }
  return std::string_view::npos;
}

void require_utf8(std::string_view text, const std::string& what) {
  const std::size_t at = find_invalid_utf8(text);
  if (at == std::string_view::npos) return;
  throw FileError(fmt::format(
      "[data.utf8] text is not UTF-8: got byte 0x{:02X} at byte offset {}, expected valid UTF-8 "
      "({}). Convert the text to UTF-8.",
      static_cast<unsigned char>(text[at]), at, what));
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  std::size_t pos = 0, broken = 0;
  while (pos < bytes.size()) {
    const std::size_t length = sequence_length(bytes, pos, &broken);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      pos += broken;
    } else {
      out.append(bytes.substr(pos, length));
      pos += length;
    }
  }
  return out;
}

const std::uint8_t* code_point_classes() {
  static const std::vector<std::uint8_t> table = build_classes();
  return table.data();
}

bool is_never_composed(std::uint32_t code_point) {
  for (const CodePointRange& range : kNeverComposed) {
    if (code_point >= range.first && code_point <= range.last) return true;
  }
  return false;
}

}  // namespace zt::data
