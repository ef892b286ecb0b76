#include <fmt/format.h>

#include "config/fields.h"
#include "config/flags_table.h"
#include "config/resolve.h"

namespace zt::config {
namespace {

std::string origin_text(const Config& config, const std::string& path) {
  const auto found = config.origins.find(path);
  if (found == config.origins.end() || found->second.key.empty()) return "default";
  return found->second.key + ", " + found->second.place;
}

std::string type_text(const Flag& flag) {
  switch (flag.type) {
    case FlagType::field:
      return expected_text(field_at(flag.field));
    case FlagType::boolean:
    case FlagType::tristate:
      return "true or false";
    case FlagType::integer:
      return "a whole number";
    case FlagType::real:
      return "a number";
    case FlagType::text:
      return flag.use == FlagUse::applies && !flag.values.empty() ? "one of " + flag.values
                                                                  : "text";
    case FlagType::list:
      return "one or more words";
    case FlagType::json:
      return "JSON or a path";
  }
  return "";
}

std::string flag_help(const Flag& flag) {
  std::string names = "--" + flag.name;
  for (const FlagAlias& alias : flag_aliases()) {
    if (alias.name == flag.name) names += ", --" + alias.alias;
  }
  if (flag.use != FlagUse::applies) return fmt::format("  {}: {}\n", names, flag.help);
  const std::string default_text = default_of(flag);
  return fmt::format("  {} <{}>{}\n      {}.\n", names, type_text(flag),
                     default_text.empty() ? "" : " (default " + default_text + ")", flag.help);
}

}  // namespace

std::string describe(const Config& config) {
  std::string text;
  for (const Field& field : fields()) {
    text += fmt::format("{} = {}  ({})\n", field.path, field.get(config),
                        origin_text(config, field.path));
  }
  for (const std::string& waiting : config.unresolved) {
    text += fmt::format("unresolved: {}\n", waiting);
  }
  for (const std::string& notice : config.notices) text += fmt::format("notice: {}\n", notice);
  return text;
}

std::string help_text(const std::string& command) {
  if (command != "train" && command != "run") {
    throw ConfigError("[config.help] unknown command '" + command + "', expected train or run.");
  }
  std::string text = fmt::format(
      "usage: zt {}\n"
      "Flags may be written --with_underscores or --with-hyphens, as --flag value or "
      "--flag=value.\n"
      "A boolean without a value is true; one whose default is true also has a --no_ form.\n",
      command == "run" ? "run [--task train|test|predict] [--config FILE] --flag value ...\n"
                         "What is done is --task, or train."
                       : "train --flag value ...");
  std::string group;
  for (const Flag& flag : flag_table()) {
    if (flag.group != group) {
      group = flag.group;
      text += "\n" + group + ":\n";
    }
    text += flag_help(flag);
  }
  return text;
}

}  // namespace zt::config
