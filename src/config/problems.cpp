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

void Problems::throw_if_any() const {
  if (lines_.empty()) return;
  if (lines_.size() == 1) throw ConfigError("[" + operation_ + "] " + lines_.front());
  std::string text = "[" + operation_ + "] " + std::to_string(lines_.size()) + " problems:";
  for (const std::string& line : lines_) text += "\n  " + line;
  throw ConfigError(text);
}

}  // namespace zt::config
