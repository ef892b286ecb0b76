#include "config/problems.h"

#include <algorithm>

#include "base/error.h"

namespace zt::config {

void Problems::add(const std::string& place, const std::string& text) {
  std::string line = text + " (" + place + ").";
  if (std::find(lines_.begin(), lines_.end(), line) == lines_.end()) {
    lines_.push_back(std::move(line));
  }
}

void Problems::throw_if_any(const std::vector<std::string>& notices) const {
  if (lines_.empty()) return;
  std::string text = "[" + operation_ + "] ";
  if (lines_.size() == 1) {
    text += lines_.front();
  } else {
    text += std::to_string(lines_.size()) + " problems:";
    for (const std::string& line : lines_) text += "\n  " + line;
  }
  for (const std::string& notice : notices) text += "\n  notice: " + notice;
  throw ConfigError(text);
}

}  // namespace zt::config
