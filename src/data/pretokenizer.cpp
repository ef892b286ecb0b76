#include "data/pretokenizer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "data/utf8.h"

namespace zt::data {
namespace {

constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen3_5 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Reads code points of one text and knows their classes.
class Cursor {
 public:
  Cursor(std::string_view text, std::size_t pos) : text_(text), pos_(pos) { load(); }

  bool at_end() const { return pos_ >= text_.size(); }
  bool is(std::uint8_t bits) const { return (class_ & bits) != 0; }
  bool is_newline() const { return point_.value == '\n' || point_.value == '\r'; }
  std::uint32_t value() const { return point_.value; }
  std::size_t pos() const { return pos_; }
  void advance() {
    pos_ += point_.size;
    load();
  }
  void skip_while(std::uint8_t bits) {
    while (is(bits)) advance();
  }

 private:
  void load() {
    if (at_end()) {
      point_ = {0, 0};
      class_ = 0;
      return;
    }
    point_ = decode_code_point(text_, pos_);
    class_ = classes_[point_.value];
  }

  std::string_view text_;
  std::size_t pos_;
  const std::uint8_t* classes_ = code_point_classes();
  CodePoint point_;
  std::uint8_t class_ = 0;
};

/// Folds to lower case as far as the contraction letters need; U+017F folds to s.
std::uint32_t fold(std::uint32_t c, bool ignore_case) {
  if (!ignore_case) return c;
  if (c == 0x17F) return 's';
  return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/// End of 's 't 're 've 'm 'll 'd whose quote is at `at`, or 0.
std::size_t contraction_end(Cursor at, bool ignore_case) {
  at.advance();
  if (at.at_end()) return 0;
  const std::uint32_t first = fold(at.value(), ignore_case);
  at.advance();
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at.pos();
  if (at.at_end()) return 0;
  const std::uint32_t second = fold(at.value(), ignore_case);
  const bool pair =
      ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
  if (!pair) return 0;
  at.advance();
  return at.pos();
}

/// `\s+(?!\S)|\s+` from a whitespace character: a run before text gives up its last character.
std::size_t space_run_end(Cursor at) {
  const std::size_t begin = at.pos();
  std::size_t last = begin;
  while (at.is(kSpace)) {
    last = at.pos();
    at.advance();
  }
  return at.at_end() || last == begin ? at.pos() : last;
}

std::size_t next_gpt2(std::string_view text, std::size_t pos) {
  Cursor at(text, pos);
  if (at.value() == '\'') {
    if (const std::size_t end = contraction_end(at, false)) return end;
  }
  Cursor body = at;
  if (at.value() == ' ') body.advance();
  if (body.is(kLetter)) {
    body.skip_while(kLetter);
    return body.pos();
  }
  if (body.is(kNumber)) {
    body.skip_while(kNumber);
    return body.pos();
  }
  if (!body.at_end() && !body.is(kSpace)) {
    while (!body.at_end() && !body.is(kSpace | kLetter | kNumber)) body.advance();
    return body.pos();
  }
  return space_run_end(at);
}

/// End of the last newline within the whitespace run at `at`, or 0: `\s*[\r\n]+`.
std::size_t newline_run_end(Cursor at) {
  std::size_t end = 0;
  while (at.is(kSpace)) {
    const bool newline = at.is_newline();
    at.advance();
    if (newline) end = at.pos();
  }
  return end;
}

/// The common shape of Qwen and Llama-3. `letters`: classes of a word; `digits`: most in one piece.
std::size_t next_word(std::string_view text, std::size_t pos, std::uint8_t letters, int digits) {
  Cursor at(text, pos);
  if (at.value() == '\'') {
    if (const std::size_t end = contraction_end(at, true)) return end;
  }
  Cursor body = at;
  if (!at.is_newline() && !at.is(kLetter | kNumber)) body.advance();
  if (!body.is(letters)) body = at;  // the optional first character is given back
  if (body.is(letters)) {
    body.skip_while(letters);
    return body.pos();
  }
  if (at.is(kNumber)) {
    for (int i = 0; i < digits && at.is(kNumber); ++i) at.advance();
    return at.pos();
  }
  body = at;
  if (at.value() == ' ') body.advance();
  const auto word = static_cast<std::uint8_t>(kSpace | kNumber | letters);
  if (!body.at_end() && !body.is(word)) {
    while (!body.at_end() && !body.is(word)) body.advance();
    while (!body.at_end() && body.is_newline()) body.advance();
    return body.pos();
  }
  if (const std::size_t end = newline_run_end(at)) return end;
  return space_run_end(at);
}

}  // namespace

SplitRule split_rule_of(const std::string& regex) {
  if (regex == kQwen2) return SplitRule::qwen2;
  if (regex == kQwen3_5) return SplitRule::qwen3_5;
  if (regex == kLlama3) return SplitRule::llama3;
  throw ConfigError(fmt::format(
      "[data.tokenizer] unsupported split pattern: got `{}`, expected the pattern of Qwen2/Qwen3, "
      "Qwen3.5 or Llama-3. Use a model with one of these tokenizers.",
      regex));
}

std::size_t next_piece(SplitRule rule, std::string_view text, std::size_t pos) {
  switch (rule) {
    case SplitRule::none:
      return text.size();
    case SplitRule::gpt2:
      return next_gpt2(text, pos);
    case SplitRule::qwen2:
      return next_word(text, pos, kLetter, 1);
    case SplitRule::qwen3_5:
      return next_word(text, pos, kLetter | kMark, 1);
    case SplitRule::llama3:
      return next_word(text, pos, kLetter, 3);
  }
  return text.size();
}

}  // namespace zt::data
