#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/problems.h"

namespace zt::config {

struct Member;

/// One value of a JSON document, with the line it starts on. Numbers keep their text: the key that
/// holds one decides how it is read.
struct Value {
  enum class Kind { null, boolean, number, text, array, object };

  Kind kind = Kind::null;
  std::string text;             ///< of a number, boolean or string
  std::vector<Value> items;     ///< of an array
  std::vector<Member> members;  ///< of an object, in file order; a key may occur once
  int line = 0;

  [[nodiscard]] bool is(Kind wanted) const { return kind == wanted; }
  /// True for the string `auto`.
  [[nodiscard]] bool is_auto() const { return kind == Kind::text && text == "auto"; }
  /// The member's value, or null when this is no object or has no such key.
  [[nodiscard]] const Value* find(std::string_view key) const;
};

struct Member {
  std::string key;
  int line = 0;
  Value value;
  std::string place;    ///< where it was said, when that is not the document itself
  std::string written;  ///< the key as its user wrote it, when that is not its path
};

/// What is wrong with a document, with the lines.
class JsonError : public ConfigError {
 public:
  explicit JsonError(const Problems& problems)
      : ConfigError(problems.message()), problems_(problems.all()) {}
  [[nodiscard]] const std::vector<Problem>& problems() const { return problems_; }

 private:
  std::vector<Problem> problems_;
};

/// Reads JSON as it is written in the wild: strict JSON, `//`, `#` and `/* */` comments, trailing
/// and missing commas, single quotes, `'''` strings, unquoted keys and strings (hjson). An unquoted
/// string ends at a comma, bracket, comment or the end of its line.
/// `name` is used in messages, which give `name:line`.
/// Errors: JsonError for bad grammar, duplicate keys (all of them), nesting deeper than 64,
/// text above 1 MiB.
[[nodiscard]] Value read_json(std::string_view text, const std::string& name);

/// What a value is, for messages: `8`, `"cpu"`, `a list`, `an object`.
[[nodiscard]] std::string describe_value(const Value& value);

}  // namespace zt::config
