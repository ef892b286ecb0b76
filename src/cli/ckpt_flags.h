#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace zt::cli {

/// A flag of `zt ckpt`.
struct CkptFlag {
  const char* name;
  const char* value;  ///< what it takes, for the help; empty: nothing
  const char* text;
};

/// One verb of `zt ckpt` and what follows it.
struct CkptVerb {
  const char* name;
  const char* operands;  ///< `CHECKPOINT`, `FROM TO`, ...
  std::size_t count;     ///< of operands
  const char* text;
  std::vector<CkptFlag> flags;
};

/// Operands and flags as given; a flag without a value has an empty one.
struct CkptArguments {
  std::vector<std::string> operands;
  std::map<std::string, std::string> flags;

  [[nodiscard]] bool has(const std::string& flag) const { return flags.count(flag) > 0; }
  /// Empty when it was not given.
  [[nodiscard]] std::string get(const std::string& flag) const;
};

/// Errors: ConfigError naming what is unknown, missing or too much.
[[nodiscard]] CkptArguments parse_ckpt(const CkptVerb& verb, const Arguments& arguments);
[[nodiscard]] std::string ckpt_verb_help(const CkptVerb& verb);

}  // namespace zt::cli
