#include "generate/prompts.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace zt::generate {
namespace {

constexpr std::size_t kShownProblems = 10;

bool is_json(const std::string& path) {
  const auto extension = std::filesystem::path(path).extension();
  return extension == ".jsonl" || extension == ".json";
}

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r\n\f\v") == std::string::npos;
}

/// Fills `to` from a JSON line. Returns what is wrong with it, or nothing.
std::string parse_line(const std::string& line, PromptLine& to) {
  const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) return "is not JSON";
  if (!object.is_object()) return fmt::format("got {}, expected an object", object.type_name());
  const char* key = object.contains("prompt") ? "prompt" : "text";
  const auto value = object.find(key);
  if (value == object.end()) return "has neither `prompt` nor `text`";
  if (!value->is_string())
    return fmt::format("`{}`: got {}, expected a string", key, value->type_name());
  to.text = value->get<std::string>();
  if (to.text.empty()) return fmt::format("`{}` is empty", key);
  to.fields = line;
  return {};
}

}  // namespace

std::vector<PromptLine> read_prompts(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) {
    throw FileError(fmt::format(
        "[generate.prompts] {}: cannot be read. Give a file of prompts, one a line.", path));
  }
  const bool json = is_json(path);
  std::vector<PromptLine> prompts;
  std::vector<std::string> problems;
  std::int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (is_blank(line)) continue;
    if (line.back() == '\r') line.pop_back();
    PromptLine prompt{.line = number};
    if (json) {
      const auto problem = parse_line(line, prompt);
      if (!problem.empty()) problems.push_back(fmt::format("{}:{}: {}", path, number, problem));
    } else {
      prompt.text = line;
    }
    prompts.push_back(std::move(prompt));
  }
  if (!problems.empty()) {
    std::string text = fmt::format("[generate.prompts] {} lines are no prompts:", problems.size());
    for (std::size_t i = 0; i < std::min(problems.size(), kShownProblems); ++i) {
      text += "\n  " + problems[i];
    }
    if (problems.size() > kShownProblems) text += "\n  ...";
    throw FileError(text + "\nExpected one object a line: {\"prompt\": \"...\"}.");
  }
  if (prompts.empty()) {
    throw FileError(fmt::format("[generate.prompts] {} holds no prompt. Write one a line.", path));
  }
  return prompts;
}

}  // namespace zt::generate
