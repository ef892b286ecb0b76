#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/layer.h"
#include "config/text_values.h"
#include "config/yaml_reader.h"

namespace zt::config {
namespace {

constexpr std::uintmax_t kLongest = std::uintmax_t{1} << 20;

bool is_name(const std::string& text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  return text.find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
         std::string::npos;
}

/// Replaces `${NAME}` in the values of one document.
class Substitution {
 public:
  Substitution(const Variables& environment, std::string name, Problems& problems)
      : environment_(environment), name_(std::move(name)), problems_(problems) {}

  void apply(Value& value) {
    for (Value& item : value.items) apply(item);
    for (Member& member : value.members) apply(member.value);
    if (!value.is(Value::Kind::text) || value.text.find('$') == std::string::npos) return;
    value.text = replaced(value.text, value.line);
    value.kind = yaml_scalar_kind(value.text);
  }

 private:
  std::string replaced(const std::string& text, int line) {
    std::string result;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] != '$' || at + 1 == text.size()) {
        result += text[at];
      } else if (text[at + 1] == '$') {
        result += text[at++];
      } else if (text[at + 1] != '{') {
        result += text[at];
      } else {
        const std::size_t end = text.find('}', at);
        if (end == std::string::npos) {
          add(line, "'" + shown(text) + "': '${' is not closed, expected ${NAME}");
          return result;
        }
        result += value_of(text.substr(at + 2, end - at - 2), line);
        at = end;
      }
    }
    return result;
  }

  std::string value_of(const std::string& inside, int line) {
    const std::size_t fallback = inside.find(":-");
    const std::string name = inside.substr(0, fallback);
    if (!is_name(name)) {
      add(line, "'${" + shown(inside) + "}': expected a name of letters, digits and _");
      return "";
    }
    const auto found = environment_.find(name);
    if (found != environment_.end()) return found->second;
    if (fallback != std::string::npos) return inside.substr(fallback + 2);
    add(line, "the environment variable " + name + " is not set");
    return "";
  }

  void add(int line, const std::string& text) {
    problems_.add(name_ + ":" + std::to_string(line), text, "Set it or write ${NAME:-default}");
  }

  const Variables& environment_;
  std::string name_;
  Problems& problems_;
};

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// JSON by its ending, or by its first character where the ending says nothing.
bool is_json(const std::string& path, const std::string& text) {
  const std::string name = lower_case(path);
  if (ends_with(name, ".json") || ends_with(name, ".hjson")) return true;
  if (ends_with(name, ".yaml") || ends_with(name, ".yml")) return false;
  return trimmed(text).rfind('{', 0) == 0;
}

}  // namespace

void replace_variables(Value& root, const Variables& environment, const std::string& name,
                       Problems& problems) {
  Substitution(environment, name, problems).apply(root);
}

std::optional<Value> read_config_file(const std::string& path, const Variables& environment,
                                      Problems& problems) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    const bool exists = std::filesystem::exists(path, error);
    problems.add("command line", (exists ? "not a file: '" : "no such file: '") + shown(path) + "'",
                 "Give the path of a YAML or JSON file");
    return std::nullopt;
  }
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error || size > kLongest) {
    problems.add(shown(path), "the file is larger than 1 MiB", "This is not a configuration");
    return std::nullopt;
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file) {
    problems.add(shown(path), "the file cannot be read");
    return std::nullopt;
  }
  const std::string text = content.str();
  try {
    Value root = is_json(path, text) ? read_json(text, path) : read_yaml(text, path);
    replace_variables(root, environment, path, problems);
    return root;
  } catch (const JsonError& refused) {
    problems.add(refused.problems());
    return std::nullopt;
  }
}

}  // namespace zt::config
