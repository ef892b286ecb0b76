#include "config/json_scanner.h"

#include "config/json_reader.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

void append_utf8(std::string& into, unsigned code) {
  if (code < 0x80) {
    into += static_cast<char>(code);
  } else if (code < 0x800) {
    into += static_cast<char>(0xc0U | code >> 6);
    into += static_cast<char>(0x80U | (code & 0x3fU));
  } else if (code < 0x10000) {
    into += static_cast<char>(0xe0U | code >> 12);
    into += static_cast<char>(0x80U | (code >> 6 & 0x3fU));
    into += static_cast<char>(0x80U | (code & 0x3fU));
  } else {
    into += static_cast<char>(0xf0U | code >> 18);
    into += static_cast<char>(0x80U | (code >> 12 & 0x3fU));
    into += static_cast<char>(0x80U | (code >> 6 & 0x3fU));
    into += static_cast<char>(0x80U | (code & 0x3fU));
  }
}

}  // namespace

void Scanner::fail(const std::string& what) const {
  Problems problem("config.json");
  problem.add(name_ + ":" + std::to_string(line_), what);
  throw JsonError(problem);
}

char Scanner::take() {
  const char c = peek();
  if (c == '\n') ++line_;
  ++at_;
  return c;
}

bool Scanner::at_comment() const {
  return peek() == '#' || (peek() == '/' && (peek(1) == '/' || peek(1) == '*'));
}

void Scanner::skip_comment() {
  if (peek() == '/' && peek(1) == '*') {
    const int start = line_;
    take();
    take();
    while (!at_end() && !(peek() == '*' && peek(1) == '/')) take();
    if (at_end()) fail("the comment opened on line " + std::to_string(start) + " is not closed");
    take();
    take();
    return;
  }
  while (!at_end() && peek() != '\n') take();
}

void Scanner::skip_blanks() {
  while (!at_end()) {
    if (is_blank(peek())) {
      take();
    } else if (at_comment()) {
      skip_comment();
    } else {
      return;
    }
  }
}

std::string Scanner::read_multiline() {
  const int start = line_;
  std::string result;
  for (int quote = 0; quote < 3; ++quote) take();
  while (!(peek() == '\'' && peek(1) == '\'' && peek(2) == '\'')) {
    if (at_end()) fail("the text opened on line " + std::to_string(start) + " is not closed");
    result += take();
  }
  for (int quote = 0; quote < 3; ++quote) take();
  return trimmed(result);
}

std::string Scanner::read_quoted() {
  if (peek() == '\'' && peek(1) == '\'' && peek(2) == '\'') return read_multiline();
  const char quote = take();
  std::string result;
  while (peek() != quote || at_end()) {
    if (at_end() || peek() == '\n') fail(std::string("a string is not closed, expected ") + quote);
    if (peek() == '\\') {
      take();
      read_escape(result);
    } else {
      result += take();
    }
  }
  take();
  return result;
}

unsigned Scanner::read_hex4() {
  unsigned code = 0;
  for (int digit = 0; digit < 4; ++digit) {
    const char c = peek();
    unsigned value = 0;
    if (c >= '0' && c <= '9')
      value = static_cast<unsigned>(c - '0');
    else if (c >= 'a' && c <= 'f')
      value = static_cast<unsigned>(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
      value = static_cast<unsigned>(c - 'A') + 10;
    else
      fail("\\u is not followed by four hexadecimal digits");
    take();
    code = code * 16 + value;
  }
  return code;
}

void Scanner::read_escape(std::string& into) {
  const char c = at_end() ? '\0' : take();
  switch (c) {
    case '"':
    case '\'':
    case '\\':
    case '/':
      into += c;
      return;
    case 'b':
      into += '\b';
      return;
    case 'f':
      into += '\f';
      return;
    case 'n':
      into += '\n';
      return;
    case 'r':
      into += '\r';
      return;
    case 't':
      into += '\t';
      return;
    case 'u':
      break;
    default:
      fail("unknown escape in a string, expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
  }
  unsigned code = read_hex4();
  if (code >= 0xd800 && code < 0xdc00 && peek() == '\\' && peek(1) == 'u') {
    take();
    take();
    const unsigned low = read_hex4();
    if (low < 0xdc00 || low > 0xdfff) fail("half of a surrogate pair in a string");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  } else if (code >= 0xd800 && code <= 0xdfff) {
    fail("half of a surrogate pair in a string");
  }
  append_utf8(into, code);
}

std::string Scanner::read_key() {
  if (peek() == '"' || peek() == '\'') return read_quoted();
  std::string key;
  while (!at_end() && !is_blank(peek()) &&
         std::string_view(",:[]{}\"'").find(peek()) == std::string_view::npos) {
    key += take();
  }
  if (key.empty()) fail(std::string("expected a key, got '") + shown(std::string(1, peek())) + "'");
  return key;
}

std::string Scanner::read_bare() {
  std::string text;
  while (!at_end() && peek() != '\n' &&
         std::string_view(",[]{}").find(peek()) == std::string_view::npos) {
    if (at_comment() && (text.empty() || is_blank(text.back()))) break;
    text += take();
  }
  text = trimmed(text);
  if (text.empty()) fail("expected a value");
  return text;
}

}  // namespace zt::config
