#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zt::config {

enum class KeyType : std::uint8_t { boolean, integer, real, text, list, object, any };

enum class KeyUse : std::uint8_t {
  effect,   ///< writes a field, or `ds_config` interprets it
  notice,   ///< no effect; a notice says why, unless the value is what happens anyway
  refused,  ///< an error by name, unless the value asks for nothing
};

/// One key of DeepSpeed JSON.
struct DsKey {
  std::string path;  ///< `zero_optimization.stage`
  KeyType type;
  KeyUse use;
  std::string field;  ///< the Config field it writes; empty: interpreted by `ds_config`
  std::string flag;   ///< the flag that fills `"auto"` and must not contradict it
  std::string quiet;  ///< values, separated by `|`, that need no notice or ask for nothing
  std::string note;   ///< why it has no effect, or what to do instead, or what it does
};

/// One object of DeepSpeed JSON.
struct DsSection {
  std::string path;
  bool strict;  ///< an unknown key is an error
  /// A section that is off as a whole unless this key of it is true. Empty: no such key.
  std::string switch_key;
  bool on_by_default;  ///< the switch's value when absent
  bool refused_if_on;  ///< a feature that is not built
  bool open;           ///< its keys are not looked into
  std::string note;    ///< why it has no effect, or what is missing
};

/// Another spelling of a key, from its full path to its full path.
struct DsAlias {
  std::string alias, path;
  bool deprecated;  ///< a notice names the new form
};

[[nodiscard]] const std::vector<DsKey>& ds_keys();
[[nodiscard]] const std::vector<DsSection>& ds_sections();
[[nodiscard]] const std::vector<DsAlias>& ds_aliases();

[[nodiscard]] const DsKey* find_ds_key(const std::string& path);
[[nodiscard]] const DsSection* find_ds_section(const std::string& path);

/// Names that may stand in the section at `path` (empty: the top level), aliases included.
[[nodiscard]] std::vector<std::string> ds_names_in(const std::string& path);

/// Paths outside the section `path` whose last part is `name`.
[[nodiscard]] std::vector<std::string> ds_places_of(const std::string& name,
                                                    const std::string& path);

// Parts of the key table, one file each.
[[nodiscard]] std::vector<DsKey> ds_core_keys();
[[nodiscard]] std::vector<DsKey> ds_zero_keys();
[[nodiscard]] std::vector<DsKey> ds_other_keys();

}  // namespace zt::config
