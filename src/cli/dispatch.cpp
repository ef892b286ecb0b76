#include <fmt/format.h>

#include "base/error.h"
#include "cli/commands.h"
#include "config/text_distance.h"

namespace zt::cli {
namespace {

std::string suggestion(const std::string& word) {
  std::vector<std::string> names;
  for (const auto& command : commands()) names.emplace_back(command.name);
  return config::nearest(word, names).name;
}

}  // namespace

int dispatch(const Arguments& arguments) {
  if (arguments.empty()) return run_help({});
  std::string name = arguments.front();
  if (name == "--help" || name == "-h") name = "help";
  if (name == "--version") name = "version";
  const Arguments rest(arguments.begin() + 1, arguments.end());
  for (const auto& command : commands()) {
    if (name == command.name) return command.run(rest);
  }
  throw ConfigError(
      fmt::format("[cli] unknown command: got '{}', expected one of `zt help`. Did you mean '{}'?",
                  name, suggestion(name)));
}

}  // namespace zt::cli
