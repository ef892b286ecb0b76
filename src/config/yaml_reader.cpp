#include "config/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "config/text_values.h"

namespace zt::config {
namespace {

constexpr std::size_t kDeepest = 64;
constexpr std::size_t kLongest = std::size_t{1} << 20;
constexpr std::size_t kMostValues = 100'000;

/// Builds a Value from the parser's events; duplicate keys are collected, other errors are thrown.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(const std::string& name) : name_(name), problems_("config.yaml") {}

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(scalar(Value::Kind::null, "", mark), anchor, 1);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    add(scalar(kind_of(tag, text, mark), text, mark), anchor, 1);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail(mark, "an alias stands inside its own anchor");
    count(found->second.num_values, mark);
    add(found->second.value, 0, found->second.num_values);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(Value::Kind::array, "seq", mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(Value::Kind::object, "map", mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

  /// The document. Errors: JsonError with the duplicate keys.
  Value take() {
    if (!problems_.all().empty()) throw JsonError(problems_);
    return std::move(root_);
  }
  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& what) const {
    fail_at(std::max(mark.line, 0) + 1, what);
  }

 private:
  /// A list or map that is not complete yet.
  struct Open {
    Value value;
    YAML::anchor_t anchor = 0;
    std::optional<Member> key;             ///< of the member that comes next
    std::map<std::string, int> lines;      ///< of the keys
    std::map<std::string, Member> merged;  ///< what `<<` brings
    std::size_t num_values = 1;
  };
  struct Anchored {
    Value value;
    std::size_t num_values = 1;
  };

  [[noreturn]] void fail_at(int line, const std::string& what) const {
    Problems problem("config.yaml");
    problem.add(name_ + ":" + std::to_string(line), what);
    throw JsonError(problem);
  }

  static Value scalar(Value::Kind kind, const std::string& text, const YAML::Mark& mark) {
    Value value;
    value.kind = kind;
    value.text = text;
    value.line = mark.line + 1;
    return value;
  }

  /// Untagged text decides by its look ("?"), quoted text is text ("!").
  Value::Kind kind_of(const std::string& tag, const std::string& text, const YAML::Mark& mark) {
    if (tag == "?" || tag.empty()) return yaml_scalar_kind(text);
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return Value::Kind::text;
    for (const char* known : {"int", "float", "bool", "null"}) {
      if (tag == std::string("tag:yaml.org,2002:") + known) return yaml_scalar_kind(text);
    }
    fail(mark, "the tag '" + shown(tag) + "' is not read, expected plain values");
  }

  void count(std::size_t num_values, const YAML::Mark& mark) {
    num_values_ += num_values;
    if (num_values_ > kMostValues) {
      fail(mark, "more than " + std::to_string(kMostValues) + " values once aliases are followed");
    }
  }

  void open(Value::Kind kind, const char* type, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    if (!tag.empty() && tag != "?" && tag != "!" &&
        tag != std::string("tag:yaml.org,2002:") + type) {
      fail(mark, "the tag '" + shown(tag) + "' is not read, expected plain values");
    }
    if (stack_.size() >= kDeepest) {
      fail(mark, "nested deeper than " + std::to_string(kDeepest) + " levels");
    }
    count(1, mark);
    Open opened;
    opened.value.kind = kind;
    opened.value.line = mark.line + 1;
    opened.anchor = anchor;
    stack_.push_back(std::move(opened));
  }

  void close() {
    Open closed = std::move(stack_.back());
    stack_.pop_back();
    for (auto& [key, member] : closed.merged) {  // a key of the map itself wins
      if (closed.lines.count(key) == 0) closed.value.members.push_back(std::move(member));
    }
    add(std::move(closed.value), closed.anchor, closed.num_values);
  }

  void add(Value value, YAML::anchor_t anchor, std::size_t num_values) {
    if (anchor != 0) anchors_[anchor] = {value, num_values};
    if (stack_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& top = stack_.back();
    top.num_values += num_values;
    if (top.value.is(Value::Kind::array)) {
      top.value.items.push_back(std::move(value));
    } else if (!top.key) {
      take_key(top, value);
    } else if (top.key->key == "<<") {
      merge(top, std::move(value));
      top.key.reset();
    } else {
      top.key->value = std::move(value);
      top.value.members.push_back(std::move(*top.key));
      top.key.reset();
    }
  }

  void take_key(Open& top, const Value& value) {
    if (value.is(Value::Kind::object) || value.is(Value::Kind::array)) {
      fail_at(value.line, "a key is " + describe_value(value) + ", expected a word");
    }
    const auto [first, is_new] = top.lines.emplace(value.text, value.line);
    if (!is_new) {
      problems_.add(name_ + ":" + std::to_string(value.line),
                    "duplicate key '" + shown(value.text) + "', first on line " +
                        std::to_string(first->second),
                    "Keep one");
    }
    top.key = Member{value.text, value.line, {}};
  }

  void merge(Open& top, Value value) {
    std::vector<Value> sources;
    if (value.is(Value::Kind::array)) {
      sources = std::move(value.items);
    } else {
      sources.push_back(std::move(value));
    }
    for (Value& source : sources) {
      if (!source.is(Value::Kind::object)) {
        fail_at(source.line, "'<<' merges " + describe_value(source) + ", expected a map");
      }
      for (Member& member : source.members) {
        top.merged.emplace(member.key, std::move(member));
      }
    }
  }

  const std::string& name_;
  Problems problems_;
  Value root_;
  std::vector<Open> stack_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  std::size_t num_values_ = 0;
};

}  // namespace

Value::Kind yaml_scalar_kind(const std::string& text) {
  const std::string word = lower_case(text);
  if (text.empty() || word == "~" || word == "null") return Value::Kind::null;
  for (const char* known : {"true", "false", "yes", "no", "on", "off"}) {
    if (word == known) return Value::Kind::boolean;
  }
  for (const char* known : {".nan", ".inf", "+.inf", "-.inf", "nan", "inf", "-inf"}) {
    if (word == known) return Value::Kind::number;
  }
  if (parse_real(text) && text == trimmed(text)) return Value::Kind::number;
  return Value::Kind::text;
}

Value read_yaml(std::string_view text, const std::string& name) {
  if (text.size() > kLongest) {
    Problems problem("config.yaml");
    problem.add(name, "got " + std::to_string(text.size()) + " bytes, expected at most 1 MiB",
                "This is not a configuration");
    throw JsonError(problem);
  }
  std::istringstream stream{std::string(text)};
  Builder builder(name);
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) {
      builder.fail(YAML::Mark(), "the document is empty, expected keys and values");
    }
    Builder rest(name);
    if (parser.HandleNextDocument(rest)) {
      builder.fail(YAML::Mark(), "there is a second document, expected one");
    }
  } catch (const YAML::Exception& error) {
    const bool has_tab = text.find("\n\t") != std::string_view::npos || text.rfind('\t', 0) == 0;
    builder.fail(error.mark, shown(error.msg) +
                                 (has_tab ? "; a line begins with a tab, YAML takes spaces" : ""));
  }
  return builder.take();
}

}  // namespace zt::config
