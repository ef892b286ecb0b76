#include "data/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "data/utf8.h"

namespace zt::data {
namespace {

bool is_word(std::uint32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      break;
  }
  // Join controls, and the circled and squared letters that count as alphabetic.
  return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
         (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

std::size_t last_code_point(std::string_view text) {
  std::size_t pos = text.size() - 1;
  while (pos > 0 && (static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80) --pos;
  return pos;
}

bool is_space(std::uint32_t c) { return (code_point_classes()[c] & kSpace) != 0; }

}  // namespace

void AddedTokenMatcher::add(const AddedToken& token, const std::string& content) {
  const auto index = static_cast<std::uint32_t>(patterns_.size());
  patterns_.push_back({content, token});
  auto& bucket = by_first_byte_[static_cast<unsigned char>(content[0])];
  bucket.push_back(index);
  std::stable_sort(bucket.begin(), bucket.end(), [&](std::uint32_t a, std::uint32_t b) {
    return patterns_[a].content.size() > patterns_[b].content.size();
  });
}

AddedTokenMatcher::Match AddedTokenMatcher::find(std::string_view text, std::size_t from) const {
  if (patterns_.empty()) return {};
  for (std::size_t pos = from; pos < text.size(); ++pos) {
    for (const std::uint32_t index : by_first_byte_[static_cast<unsigned char>(text[pos])]) {
      const std::string& content = patterns_[index].content;
      if (content.size() <= text.size() - pos &&
          std::memcmp(content.data(), text.data() + pos, content.size()) == 0) {
        return {&patterns_[index], pos};
      }
    }
  }
  return {};
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word(decode_code_point(text, 0).value);
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word(decode_code_point(text, last_code_point(text)).value);
}

std::size_t leading_space(std::string_view text) {
  std::size_t pos = 0;
  while (pos < text.size()) {
    const CodePoint c = decode_code_point(text, pos);
    if (!is_space(c.value)) break;
    pos += c.size;
  }
  return pos;
}

std::size_t trailing_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t pos = last_code_point(text.substr(0, end));
    if (!is_space(decode_code_point(text, pos).value)) break;
    end = pos;
  }
  return text.size() - end;
}

}  // namespace zt::data
