#include "config/json_reader.h"

#include <cstdint>
#include <map>
#include <utility>

#include "base/text_encoding.h"
#include "config/json_scanner.h"
#include "config/problems.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

constexpr int kDeepest = 64;
constexpr std::size_t kLongest = std::size_t{1} << 20;

/// Recursive descent over a Scanner; duplicate keys are collected, other errors are thrown.
class Reader {
 public:
  Reader(std::string_view text, const std::string& name)
      : scanner_(text, name), name_(name), problems_("config.json") {}

  Value read_document() {
    scanner_.skip_blanks();
    if (scanner_.at_end()) scanner_.fail("the document is empty, expected {");
    Value value = read_value(0);
    scanner_.skip_blanks();
    if (!scanner_.at_end()) scanner_.fail("unexpected text after the end of the document");
    if (!problems_.all().empty()) throw JsonError(problems_);
    return value;
  }

 private:
  Value read_value(int depth) {
    if (depth > kDeepest) {
      scanner_.fail("nested deeper than " + std::to_string(kDeepest) + " levels");
    }
    switch (scanner_.peek()) {
      case '{':
        return read_object(depth);
      case '[':
        return read_array(depth);
      case '"':
      case '\'': {
        Value value = start(Value::Kind::text);
        value.text = scanner_.read_quoted();
        return value;
      }
      default:
        return read_bare();
    }
  }

  Value read_object(int depth) {
    Value object = start(Value::Kind::object);
    std::map<std::string, int> lines;
    scanner_.take();
    while (next_element('}', object.line, "object")) {
      Member member;
      member.line = scanner_.line();
      member.key = scanner_.read_key();
      scanner_.skip_blanks();
      if (scanner_.peek() != ':') {
        scanner_.fail("expected ':' after key '" + shown(member.key) + "'");
      }
      scanner_.take();
      scanner_.skip_blanks();
      const auto [first, is_new] = lines.emplace(member.key, member.line);
      if (!is_new) {
        problems_.add(name_ + ":" + std::to_string(member.line),
                      "duplicate key '" + shown(member.key) + "', first on line " +
                          std::to_string(first->second) + "",
                      "Keep one");
      }
      member.value = read_value(depth + 1);
      object.members.push_back(std::move(member));
    }
    return object;
  }

  Value read_array(int depth) {
    Value array = start(Value::Kind::array);
    scanner_.take();
    while (next_element(']', array.line, "list")) array.items.push_back(read_value(depth + 1));
    return array;
  }

  /// Moves to the next element of an object or list; false after its closing bracket.
  bool next_element(char close, int open_line, const char* what) {
    scanner_.skip_blanks();
    if (scanner_.peek() == ',') {
      scanner_.take();
      scanner_.skip_blanks();
    }
    if (scanner_.at_end()) {
      scanner_.fail(std::string("the ") + what + " opened on line " + std::to_string(open_line) +
                    " is not closed, expected '" + close + "'");
    }
    if (scanner_.peek() != close) return true;
    scanner_.take();
    return false;
  }

  Value read_bare() {
    Value value = start(Value::Kind::text);
    value.text = scanner_.read_bare();
    if (value.text == "null") {
      value.kind = Value::Kind::null;
    } else if (value.text == "true" || value.text == "false") {
      value.kind = Value::Kind::boolean;
    } else if (is_number(value.text)) {
      value.kind = Value::Kind::number;
    }
    return value;
  }

  [[nodiscard]] Value start(Value::Kind kind) const {
    Value value;
    value.kind = kind;
    value.line = scanner_.line();
    return value;
  }

  /// Numbers, and the words that other writers use for values that are none.
  static bool is_number(const std::string& text) {
    if (parse_real(text)) return true;
    const std::string word = lower_case(text);
    for (const char* other :
         {"nan", "inf", "infinity", "+nan", "+inf", "-nan", "-inf", "-infinity"}) {
      if (word == other) return true;
    }
    return text.find_first_not_of("0123456789+-.eE") == std::string::npos &&
           text.find_first_of("0123456789") != std::string::npos;
  }

  Scanner scanner_;
  std::string name_;
  Problems problems_;
};

}  // namespace

const Value* Value::find(std::string_view key) const {
  for (const Member& member : members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

Value read_json(std::string_view text, const std::string& name) {
  if (text.size() > kLongest) {
    Problems problem("config.json");
    problem.add(name, "got " + std::to_string(text.size()) + " bytes, expected at most 1 MiB",
                "This is not a configuration");
    throw JsonError(problem);
  }
  if (const auto encoding = foreign_encoding(text); !encoding.empty()) {
    Problems problem("config.json");
    problem.add(name, "the text is " + std::string(encoding) + ", expected UTF-8",
                "Convert it: iconv -f " + std::string(encoding) + " -t UTF-8");
    throw JsonError(problem);
  }
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return Reader(text, name).read_document();
}

std::string describe_value(const Value& value) {
  switch (value.kind) {
    case Value::Kind::null:
      return "null";
    case Value::Kind::boolean:
    case Value::Kind::number:
      return shown(value.text);
    case Value::Kind::text:
      return "\"" + shown(value.text) + "\"";
    case Value::Kind::array:
      return "a list";
    case Value::Kind::object:
      return "an object";
  }
  return "";
}

}  // namespace zt::config
