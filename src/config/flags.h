#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/flags_table.h"
#include "config/problems.h"

namespace zt::config {

/// What was said about one flag, and where.
struct FlagValue {
  std::string text;
  std::string written;  ///< `--learning_rate`, `training.lr`
  std::string place;    ///< `command line`, `task.yaml:12`
};

/// The flags of one run, by canonical name; the last of repeated ones. Files say flags too: their
/// values know the key and the line that they come from.
class FlagValues {
 public:
  /// The text given for a flag, or null when it was not given.
  [[nodiscard]] const std::string* find(const std::string& name) const;
  /// The same with its place, or null.
  [[nodiscard]] const FlagValue* find_value(const std::string& name) const;
  /// The key as the user wrote it; `--name` when it was not given.
  [[nodiscard]] std::string written(const std::string& name) const;
  /// Where it was given; `command line` when it was not.
  [[nodiscard]] std::string place(const std::string& name) const;
  /// A boolean flag's value; `fallback` when not given or not boolean (already reported).
  [[nodiscard]] bool boolean(const std::string& name, bool fallback) const;
  [[nodiscard]] const std::map<std::string, FlagValue>& all() const { return values_; }
  /// A flag of the command line.
  void set(const std::string& name, std::string text);
  void set(const std::string& name, FlagValue value) { values_[name] = std::move(value); }
  void erase(const std::string& name) { values_.erase(name); }

 private:
  std::map<std::string, FlagValue> values_;
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
