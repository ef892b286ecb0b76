#include "base/text_encoding.h"

namespace zt {

std::string_view foreign_encoding(std::string_view text) {
  if (text.size() < 4) return "";
  const auto zero = [text](std::size_t at) { return text[at] == '\0'; };
  const auto is = [text](std::string_view mark) { return text.substr(0, mark.size()) == mark; };
  if (is({"\xff\xfe\0\0", 4}) || (!zero(0) && zero(1) && zero(2) && zero(3))) return "UTF-32LE";
  if (is({"\0\0\xfe\xff", 4}) || (zero(0) && zero(1) && zero(2) && !zero(3))) return "UTF-32BE";
  if (is("\xff\xfe") || (!zero(0) && zero(1) && !zero(2) && zero(3))) return "UTF-16LE";
  if (is("\xfe\xff") || (zero(0) && !zero(1) && zero(2) && !zero(3))) return "UTF-16BE";
  return "";
}

}  // namespace zt
