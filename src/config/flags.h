#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/flags_table.h"
#include "config/problems.h"

namespace zt::config {

/// The flags of one command line, by canonical name; the last of repeated ones.
class FlagValues {
 public:
  /// The text given for a flag, or null when it was not given.
  [[nodiscard]] const std::string* find(const std::string& name) const;
  /// A boolean flag's value; `fallback` when not given or not boolean (already reported).
  [[nodiscard]] bool boolean(const std::string& name, bool fallback) const;
  [[nodiscard]] const std::map<std::string, std::string>& all() const { return values_; }
  void set(const std::string& name, std::string text) { values_[name] = std::move(text); }

 private:
  std::map<std::string, std::string> values_;
};

/// Parses a command line as HfArgumentParser does: `--snake_case`, `--kebab-case`, `--name=value`,
/// unambiguous prefixes, booleans with or without value, `--no_x`, lists, repeated flags.
/// Reports unknown flags with the nearest valid one, missing and malformed values.
/// `notices` gets one line for each prefix that was completed.
[[nodiscard]] FlagValues parse_flags(const std::vector<std::string>& args, Problems& problems,
                                     std::vector<std::string>& notices);

/// Writes every flag that has a field into `config`, with its origin; adds a notice for each
/// accepted flag and a problem for each refused one.
void apply_flags(const FlagValues& flags, Config& config, Problems& problems);

/// True when `text` is one of the `|`-separated `values`, in any letter case.
[[nodiscard]] bool is_listed(const std::string& text, const std::string& values);

}  // namespace zt::config
