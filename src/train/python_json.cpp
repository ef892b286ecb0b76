#include "train/python_json.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace zt::train {
namespace {

using nlohmann::json;

/// Strings that stand for the words while nlohmann parses; no key or value starts like them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kWords = {
    {{"-Infinity", "\"\\u0001-inf\""}, {"Infinity", "\"\\u0001inf\""}, {"NaN", "\"\\u0001nan\""}}};

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return json(value).dump();
}

void write(const json& value, int indent, int depth, std::string& out) {
  const bool object = value.is_object();
  if ((!object && !value.is_array()) || value.empty()) {
    const bool ascii = true;
    out += value.is_number_float() ? number(value.get<double>()) : value.dump(-1, ' ', ascii);
    return;
  }
  const auto line = [&](int levels) {
    out += '\n';
    out.append(static_cast<std::size_t>(levels * indent), ' ');
  };
  out += object ? '{' : '[';
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    if (!first) out += ',';
    first = false;
    line(depth + 1);
    if (object) out += json(key).dump(-1, ' ', true) + ": ";
    write(item, indent, depth + 1, out);
  }
  line(depth);
  out += object ? '}' : ']';
}

/// Puts strings in the place of Python's words, outside of strings.
std::string without_words(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string && c == '\\' && i + 1 < text.size()) {
      out += c;
      out += text[++i];
      continue;
    }
    bool replaced = false;
    for (const auto& [word, stand_in] : kWords) {
      if (in_string || text.substr(i, word.size()) != word) continue;
      out += stand_in;
      i += word.size() - 1;
      replaced = true;
      break;
    }
    if (!replaced) out += c;
  }
  return out;
}

void restore_words(json& value) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (value.is_structured()) {
    for (auto& item : value) restore_words(item);
  } else if (value == "\001-inf") {
    value = -kInfinity;
  } else if (value == "\001inf") {
    value = kInfinity;
  } else if (value == "\001nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  }
}

}  // namespace

std::string to_python_json(const json& value, int indent) {
  std::string out;
  write(value, indent, 0, out);
  return out;
}

json from_python_json(const std::string& text, const std::string& source) {
  static constexpr int kDeepest = 64;  // the walks over the value recurse
  const auto shallow = [&source](int depth, json::parse_event_t, json&) {
    if (depth > kDeepest) {
      throw FileError(fmt::format("[train.json] {} is nested beyond {} levels.", source, kDeepest));
    }
    return true;
  };
  try {
    auto value = json::parse(without_words(text), shallow);
    restore_words(value);
    return value;
  } catch (const json::exception& error) {
    throw FileError(
        fmt::format("[train.json] {} is not JSON: {}. Restore it from a copy or remove it.", source,
                    error.what()));
  }
}

}  // namespace zt::train
