#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/commands.h"
#include "config/text_distance.h"

namespace zt::cli {
namespace {

[[noreturn]] void refuse(const std::string& word) {
  std::vector<std::string> names;
  std::string list;
  for (const auto& command : commands()) {
    names.emplace_back(command.name);
    list += (list.empty() ? "" : ", ") + names.back();
  }
  const auto near = config::nearest(word, names);
  const bool is_typo = near.distance <= 1 + static_cast<int>(word.size()) / 4;
  throw ConfigError(fmt::format("[cli] unknown command: got '{}', expected one of {}.{}", word,
                                list,
                                is_typo ? fmt::format(" Did you mean '{}'?", near.name) : ""));
}

}  // namespace

bool asks_for_help(const Arguments& arguments) {
  return std::any_of(arguments.begin(), arguments.end(),
                     [](const std::string& word) { return word == "--help" || word == "-h"; });
}

int dispatch(const Arguments& arguments) {
  if (arguments.empty()) return run_help({});
  std::string name = arguments.front();
  if (name == "--help" || name == "-h") name = "help";
  if (name == "--version") name = "version";
  const Arguments rest(arguments.begin() + 1, arguments.end());
  for (const auto& command : commands()) {
    if (name != command.name) continue;
    return rest.size() == 1 && asks_for_help(rest) ? run_help({name}) : command.run(rest);
  }
  refuse(name);
}

}  // namespace zt::cli
