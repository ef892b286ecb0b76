#include "model/config_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/text_encoding.h"

namespace zt::model {

using nlohmann::json;

std::string model_config_path(const std::string& folder) {
  return (std::filesystem::path(folder) / "config.json").string();
}

json load_model_config(const std::string& folder) {
  if (!std::filesystem::is_directory(folder)) {
    throw FileError(
        fmt::format("[model.config] --model_name_or_path: '{}' is not a folder. Give the "
                    "folder of a Hugging Face model; nothing is downloaded.",
                    folder));
  }
  const auto path = model_config_path(folder);
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw FileError(
        fmt::format("[model.config] {}: cannot be read. Give the folder of a Hugging Face "
                    "model with its config.json.",
                    path));
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (const auto encoding = foreign_encoding(text); !encoding.empty()) {
    throw FileError(
        fmt::format("[model.config] {}: the text is {}, expected UTF-8. Convert it: iconv -f {} -t "
                    "UTF-8.",
                    path, encoding, encoding));
  }
  json root;
  std::string problem = "its outermost value is no object";
  try {
    root = json::parse(text);
  } catch (const json::exception& error) {
    const std::string_view what = error.what();
    const auto number = what.find("] ");  // its own
    problem = what.substr(number == std::string_view::npos ? 0 : number + 2);
  }
  if (!root.is_object()) {
    throw FileError(fmt::format("[model.config] {}: is not a JSON object: {}. Restore the file.",
                                path, problem));
  }
  return root;
}

ConfigReader::ConfigReader(const json& root, std::string path, std::string expected)
    : root_(root), path_(std::move(path)), expected_(std::move(expected)) {}

std::int64_t ConfigReader::positive(const char* key, std::int64_t fallback, std::int64_t limit) {
  const auto* value = find(key);
  if (value == nullptr) {
    if (fallback == 0) problem(key, "is missing", "a positive integer");
    return std::max<std::int64_t>(fallback, 1);
  }
  if (!value->is_number_integer() || value->get<std::int64_t>() < 1 ||
      value->get<std::int64_t>() > limit) {
    problem(key, "got " + value->dump(), fmt::format("an integer from 1 to {}", limit));
    return 1;
  }
  return value->get<std::int64_t>();
}

double ConfigReader::positive_number(const char* key, double fallback) {
  return positive_number(root_, key, fallback);
}

double ConfigReader::positive_number(const json& object, const char* key, double fallback) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  const bool good =
      found->is_number() && std::isfinite(found->get<double>()) && found->get<double>() > 0;
  if (!good) {
    problem(key, "got " + found->dump(), "a positive finite number");
    return fallback;
  }
  return found->get<double>();
}

bool ConfigReader::boolean(const char* key, bool fallback) {
  const auto* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) problem(key, "got " + value->dump(), "true or false");
  return value->is_boolean() && value->get<bool>();
}

void ConfigReader::refuse(bool condition, const char* key, const std::string& why) {
  if (condition) problem(key, why, expected_);
}

void ConfigReader::problem(const char* key, const std::string& what, const std::string& expected) {
  problems_ += fmt::format("[model.config] {}: {}: {}, expected {}.\n", path_, key, what, expected);
}

const json* ConfigReader::find(const char* key) const {
  const auto found = root_.find(key);
  return found == root_.end() || found->is_null() ? nullptr : &*found;
}

void ConfigReader::finish() const {
  if (!problems_.empty()) throw ConfigError(problems_.substr(0, problems_.size() - 1));
}

}  // namespace zt::model
