#include <fmt/format.h>

#include <algorithm>

#include "config/ds_schema.h"
#include "config/fields.h"
#include "config/layer.h"
#include "config/text_distance.h"
#include "config/text_values.h"
#include "config/tools.h"

namespace zt::config {
namespace {

/// The parts of an answer that a key has.
struct Explained {
  std::string title, meaning, expected, default_text;
  std::string field, flag, ds_key;
};

std::string without_dashes(const std::string& key) {
  std::string name = key.rfind("--", 0) == 0 ? key.substr(2) : key;
  std::replace(name.begin(), name.end(), '-', '_');  // no key of any file has a hyphen
  return name;
}

const char* type_name(KeyType type) {
  switch (type) {
    case KeyType::boolean:
      return "true or false";
    case KeyType::integer:
      return "a whole number";
    case KeyType::real:
      return "a number";
    case KeyType::text:
      return "text";
    case KeyType::list:
      return "a list";
    case KeyType::object:
      return "an object";
    case KeyType::any:
      break;
  }
  return "any value";
}

std::string use_text(bool refused, bool effect, const std::string& quiet, const std::string& note) {
  if (effect) return note;
  return (refused ? "refused" : "no effect here") +
         (quiet.empty() || quiet == "*" ? "" : " unless " + quiet) + ": " + note;
}

void add_field(Explained& found, const std::string& path) {
  const Field& field = field_at(path);
  found.field = path;
  if (found.expected.empty()) found.expected = expected_text(field);
  if (found.default_text.empty()) found.default_text = field.get(Config{});
}

Explained explain_flag(const Flag& flag) {
  Explained found;
  found.title = "--" + flag.name + " (flag, also a key of task files)";
  found.meaning =
      use_text(flag.use == FlagUse::refused, flag.use == FlagUse::applies, flag.values, flag.help);
  found.flag = flag.name;
  found.default_text = default_of(flag);
  if (!flag.values.empty() && flag.use == FlagUse::applies) {
    found.expected = "one of " + flag.values;
  }
  if (!flag.field.empty()) add_field(found, flag.field);
  for (const DsKey& key : ds_keys()) {
    if (key.flag == flag.name) found.ds_key = key.path;
  }
  return found;
}

Explained explain_ds_key(const DsKey& key) {
  Explained found;
  found.title = key.path + " (DeepSpeed JSON)";
  found.meaning =
      use_text(key.use == KeyUse::refused, key.use == KeyUse::effect, key.quiet, key.note);
  found.expected = type_name(key.type);
  found.ds_key = key.path;
  found.flag = key.flag;
  if (!key.field.empty()) {
    found.expected.clear();
    add_field(found, key.field);
  }
  if (key.path.find("offload_optimizer.device") != std::string::npos) {
    found.field = "zero.optimizer_place";
  }
  if (key.path.find("offload_param.device") != std::string::npos) found.field = "zero.param_place";
  return found;
}

/// A field by its own path: the flag that writes it says what it means.
Explained explain_field(const Field& field) {
  for (const Flag& flag : flag_table()) {
    if (flag.field == field.path) return explain_flag(flag);
  }
  Explained found;
  for (const DsKey& key : ds_keys()) {
    if (key.field == field.path) found = explain_ds_key(key);
  }
  found.title = std::string(field.path) + " (field)";
  add_field(found, field.path);
  return found;
}

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const Flag& flag : flag_table()) names.push_back(flag.name);
  for (const FlagAlias& alias : flag_aliases()) names.push_back(alias.alias);
  for (const DsKey& key : ds_keys()) names.push_back(key.path);
  for (const DsSection& section : ds_sections()) names.push_back(section.path);
  for (const DsAlias& alias : ds_aliases()) names.push_back(alias.alias);
  for (const Field& field : fields()) names.emplace_back(field.path);
  for (const TaskKey& key : task_keys()) {
    if (*key.section != '\0') names.push_back(std::string(key.section) + "." + key.key);
  }
  return names;
}

Explained explain_key(const std::string& written) {
  const std::string key = without_dashes(written);
  for (const DsAlias& alias : ds_aliases()) {
    if (alias.alias == key) return explain_key(alias.path);
  }
  if (const DsSection* section = find_ds_section(key); section != nullptr) {
    Explained found;
    found.title = key + " (section of DeepSpeed JSON)";
    found.meaning = section->note.empty() ? "read" : section->note;
    found.expected = "an object";
    return found;
  }
  if (const DsKey* ds = find_ds_key(key)) {
    const bool is_flag = find_flag(key) != nullptr && key.find('.') == std::string::npos;
    if (!is_flag || written.rfind("--", 0) != 0) return explain_ds_key(*ds);
  }
  if (const Flag* flag = find_flag(key)) return explain_flag(*flag);
  for (const Field& field : fields()) {
    if (key == field.path) return explain_field(field);
  }
  const std::size_t dot = key.find('.');
  const std::string section = dot == std::string::npos ? "" : key.substr(0, dot);
  const std::string name = dot == std::string::npos ? key : key.substr(dot + 1);
  for (const TaskKey& row : task_keys()) {
    if (section != row.section || name != row.key) continue;
    return row.flag != nullptr ? explain_flag(*find_flag(row.flag))
                               : explain_field(field_at(row.field));
  }
  if (dot != std::string::npos && find_flag(name) != nullptr) return explain_key("--" + name);
  throw ConfigError("[config.explain] unknown key '" + shown(written) +
                    "' (command line). The nearest key is " + nearest(key, all_names()).name + ".");
}

}  // namespace

std::string explain(const std::string& key, const std::string& path, const Facts& facts) {
  const Explained found = explain_key(key);
  std::string text = found.title + "\n";
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<9}{}\n", name, value);
  };
  line("meaning", found.meaning);
  line("expected", found.expected);
  line("default", found.default_text);
  if (!found.flag.empty()) line("flag", "--" + found.flag);
  line("DS key", found.ds_key);
  line("field", found.field);
  std::string memory = "no effect";
  std::string speed = "no effect";
  for (const Effect& effect : effects()) {
    if (found.field != effect.field) continue;
    if (*effect.memory != '\0') memory = effect.memory;
    if (*effect.speed != '\0') speed = effect.speed;
  }
  line("memory", memory);
  line("speed", speed);
  if (path.empty() || found.field.empty()) return text;
  Facts checked = facts;
  checked.reads_data = false;
  checked.reads_model = false;
  const Config config = resolve({"--config", path}, checked);
  const Origin& origin = config.origins.at(found.field);
  line("value", field_at(found.field).get(config) + "  (" +
                    (origin.key.empty() ? origin.place : origin.key + ", " + origin.place) + ")");
  return text;
}

}  // namespace zt::config
