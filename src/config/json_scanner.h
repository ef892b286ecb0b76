#pragma once

#include <string>
#include <string_view>

namespace zt::config {

/// Characters, blanks, comments and strings of a JSON or hjson text; knows its line.
class Scanner {
 public:
  /// `text` must outlive the scanner.
  Scanner(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}

  [[nodiscard]] int line() const { return line_; }
  [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }
  /// The current character, `\0` at the end.
  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  char take();
  void skip_blanks();

  /// A string in double, single or three single quotes. Errors: ConfigError.
  std::string read_quoted();
  /// A quoted or bare key. Errors: ConfigError when there is none.
  std::string read_key();
  /// Unquoted text up to a comma, bracket, comment or line end, without trailing blanks.
  /// Errors: ConfigError when there is none.
  std::string read_bare();

  /// Errors: always throws JsonError with `name:line`.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  [[nodiscard]] bool at_comment() const;
  void skip_comment();
  std::string read_multiline();
  void read_escape(std::string& into);
  unsigned read_hex4();

  std::string_view text_;
  std::string name_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace zt::config
