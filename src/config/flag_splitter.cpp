#include "config/flag_splitter.h"

#include <algorithm>

#include "config/text_values.h"

namespace zt::config {
namespace {

constexpr const char* kCommandLine = "command line";

}  // namespace

bool FlagSplitter::next() {
  if (at_ >= args_.size()) return false;
  const std::string& argument = args_[at_++];
  const std::size_t equals = argument.find('=');
  name_ = argument.substr(0, equals);
  std::replace(name_.begin() + std::min<std::ptrdiff_t>(2, std::ssize(name_)), name_.end(), '-',
               '_');
  given_.reset();
  if (equals != std::string::npos) given_ = argument.substr(equals + 1);
  return true;
}

bool FlagSplitter::next_is_value() const {
  return at_ < args_.size() && args_[at_].rfind("--", 0) != 0;
}

std::string FlagSplitter::value() {
  std::string text;
  if (given_) {
    text = *given_;
  } else if (next_is_value()) {
    text = args_[at_++];
  }
  if (text.empty()) problems_.add(kCommandLine, name_ + " has no value", "Give one");
  return text;
}

bool FlagSplitter::boolean() {
  if (!given_ && !next_is_value()) return true;
  const std::string text = value();
  const std::optional<bool> parsed = parse_bool(text);
  if (!parsed) {
    problems_.add(kCommandLine, name_ + ": got '" + shown(text) + "', expected true or false");
  }
  return parsed.value_or(false);
}

int FlagSplitter::number(int least, int most) {
  const std::string text = value();
  const std::optional<std::int64_t> parsed = parse_integer(text);
  if (parsed && *parsed >= least && *parsed <= most) return static_cast<int>(*parsed);
  problems_.add(kCommandLine, name_ + ": got '" + shown(text) + "', expected " +
                                  std::to_string(least) + " to " + std::to_string(most));
  return least;
}

}  // namespace zt::config
