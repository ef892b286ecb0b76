#include "cli/ckpt_flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "config/text_distance.h"

namespace zt::cli {
namespace {

[[noreturn]] void refuse(const CkptVerb& verb, const std::string& what) {
  throw ConfigError(fmt::format("[cli.ckpt] {}. Use: zt ckpt {} {}, see zt ckpt {} --help.", what,
                                verb.name, verb.operands, verb.name));
}

const CkptFlag& find_flag(const CkptVerb& verb, const std::string& name) {
  const auto found = std::find_if(verb.flags.begin(), verb.flags.end(),
                                  [&](const CkptFlag& flag) { return name == flag.name; });
  if (found != verb.flags.end()) return *found;
  std::vector<std::string> names;
  for (const auto& flag : verb.flags) names.emplace_back(flag.name);
  refuse(verb, names.empty() ? fmt::format("unknown flag {}", name)
                             : fmt::format("unknown flag {}, did you mean {}?", name,
                                           config::nearest(name, names).name));
}

}  // namespace

std::string CkptArguments::get(const std::string& flag) const {
  const auto found = flags.find(flag);
  return found == flags.end() ? std::string() : found->second;
}

CkptArguments parse_ckpt(const CkptVerb& verb, const Arguments& arguments) {
  CkptArguments result;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    if (!argument.starts_with("--")) {
      result.operands.push_back(argument);
      continue;
    }
    const auto equals = argument.find('=');
    std::string name = argument.substr(0, equals);
    std::replace(name.begin() + 2, name.end(), '-', '_');
    const auto& flag = find_flag(verb, name);
    const bool takes_value = *flag.value != '\0';
    if (!takes_value && equals != std::string::npos) {
      refuse(verb, fmt::format("{} takes no value", name));
    } else if (!takes_value) {
      result.flags[name];
    } else if (equals != std::string::npos) {
      result.flags[name] = argument.substr(equals + 1);
    } else if (++i == arguments.size()) {
      refuse(verb, fmt::format("{} needs {}", name, flag.value));
    } else {
      result.flags[name] = arguments[i];
    }
  }
  if (result.operands.size() != verb.count) {
    refuse(verb, fmt::format("got {} folders, expected {}", result.operands.size(), verb.count));
  }
  return result;
}

std::string ckpt_verb_help(const CkptVerb& verb) {
  auto text = fmt::format("usage: zt ckpt {} {}{}\n\n{}\n", verb.name, verb.operands,
                          verb.flags.empty() ? "" : " [flags]", verb.text);
  for (const auto& flag : verb.flags) {
    text += fmt::format("  {:<24}{}\n", fmt::format("{} {}", flag.name, flag.value), flag.text);
  }
  return text;
}

}  // namespace zt::cli
