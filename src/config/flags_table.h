#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zt::config {

enum class FlagUse : std::uint8_t {
  applies,   ///< changes the run
  accepted,  ///< harmless here; a notice says why it has no effect
  refused,   ///< asks for something that is not built; an error names it
};

enum class FlagType : std::uint8_t {
  field,     ///< type and range of its field
  boolean,   ///< value optional
  tristate,  ///< boolean whose value is required, or None
  integer,
  real,
  text,
  list,  ///< one or more values
  json,  ///< inline JSON or a path
};

/// One flag: parsing, help, suggestions, the frozen list and the documentation derive from its row.
struct Flag {
  std::string name;   ///< snake_case; the kebab-case form is accepted too
  std::string group;  ///< heading in the help text
  FlagUse use = FlagUse::applies;
  FlagType type = FlagType::field;
  std::string field;  ///< the Config field it writes; empty: `resolve` interprets it
  /// Values, separated by `|`, that a special flag accepts, or that ask for nothing (no notice, no
  /// refusal).
  std::string values;
  std::string default_text;  ///< empty: the field's default
  std::string help;          ///< what it does, or why it does nothing, or what to do instead
};

/// Other spellings of a flag.
struct FlagAlias {
  std::string alias, name;
};

/// Every flag, in help order.
[[nodiscard]] const std::vector<Flag>& flag_table();
[[nodiscard]] const std::vector<FlagAlias>& flag_aliases();

/// The row of `name` or of the flag it is an alias of; null when unknown.
[[nodiscard]] const Flag* find_flag(const std::string& name);

/// True for a boolean whose default is true: it has a `--no_` form.
[[nodiscard]] bool has_no_form(const Flag& flag);

/// The default as text, from the row or from its field.
[[nodiscard]] std::string default_of(const Flag& flag);

/// What docs/config.md says of a key or flag: whether it has an effect, and what or why not.
[[nodiscard]] std::string documented_effect(bool has_effect, bool is_refused,
                                            const std::string& quiet, const std::string& note);

/// The row of docs/config.md up to the name of its test.
[[nodiscard]] std::string documented(const Flag& flag);

// Parts of the table, one file each.
[[nodiscard]] std::vector<Flag> run_flags();
[[nodiscard]] std::vector<Flag> tuning_flags();
[[nodiscard]] std::vector<Flag> checkpoint_flags();
[[nodiscard]] std::vector<Flag> task_flags();
[[nodiscard]] std::vector<Flag> accelerate_flags();
[[nodiscard]] std::vector<Flag> accelerate_other_flags();
[[nodiscard]] std::vector<Flag> accepted_flags();
[[nodiscard]] std::vector<Flag> refused_flags();

}  // namespace zt::config
