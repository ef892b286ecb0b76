#include "config/problems.h"

namespace zt::config {
namespace {

std::string line_of(const Problem& problem) {
  std::string line = problem.text + " (" + problem.place + ").";
  if (problem.remedy.empty()) return line;
  std::string remedy = problem.remedy;
  if (remedy[0] >= 'a' && remedy[0] <= 'z') remedy[0] = static_cast<char>(remedy[0] - 'a' + 'A');
  line += " " + remedy + ".";
  return line;
}

}  // namespace

std::string Problems::message(const std::vector<std::string>& notices) const {
  std::string text = "[" + operation_ + "] ";
  if (all_.size() == 1) {
    text += line_of(all_.front());
  } else {
    text += std::to_string(all_.size()) + " problems:";
    for (const Problem& problem : all_) text += "\n  " + line_of(problem);
  }
  for (const std::string& notice : notices) text += "\n  notice: " + notice;
  return text;
}

void Problems::throw_if_any(const std::vector<std::string>& notices) const {
  if (!all_.empty()) throw ConfigError(message(notices));
}

}  // namespace zt::config
