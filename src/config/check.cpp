#include <fmt/format.h>

#include "config/accelerate.h"
#include "config/fields.h"
#include "config/inputs.h"
#include "config/tools.h"

namespace zt::config {
namespace {

/// What of a run its configuration file need not say.
Facts without_folders(const Facts& facts) {
  Facts checked = facts;
  checked.reads_data = false;
  checked.reads_model = false;
  return checked;
}

const char* name_of(FileKind kind) {
  switch (kind) {
    case FileKind::deepspeed:
      return "DeepSpeed configuration";
    case FileKind::accelerate:
      return "accelerate configuration";
    case FileKind::task:
      return "task file";
  }
  return "";
}

bool has_auto(const Value& value) {
  if (value.is_auto()) return true;
  for (const Member& member : value.members) {
    if (has_auto(member.value)) return true;
  }
  return false;
}

/// True when some key at the top stands in a task file or is a flag.
bool has_task_key(const Value& root) {
  for (const Member& member : root.members) {
    if (find_flag(member.key) != nullptr) return true;
    for (const std::string& section : task_sections()) {
      if (section == member.key) return true;
    }
    for (const TaskKey& row : task_keys()) {
      if (*row.section == '\0' && row.key == member.key) return true;
    }
  }
  return false;
}

FileKind checked_kind(const Value& root, const std::string& path) {
  if (!root.is(Value::Kind::object)) {
    throw ConfigError("[config.check] " + path + ": got " + describe_value(root) +
                      ", expected a map (" + path + ":" + std::to_string(root.line) +
                      "). This is not a configuration.");
  }
  const FileKind kind = kind_of(root);
  const bool is_json = path.size() > 5 && path.compare(path.size() - 5, 5, ".json") == 0;
  // JSON without one known key is most likely meant for DeepSpeed.
  return kind == FileKind::task && is_json && !has_task_key(root) ? FileKind::deepspeed : kind;
}

/// A DeepSpeed file without `"auto"` has to stand alone; one with it is meant for flags.
Config resolve_checked(const Value& root, FileKind kind, const std::string& path,
                       const Facts& facts) {
  if (kind == FileKind::deepspeed && !has_auto(root)) return from_deepspeed(path, facts);
  return resolve({"--config", path}, facts);
}

}  // namespace

std::string check_file(const std::string& path, const Facts& facts) {
  Problems problems("config.check");
  const std::optional<Value> root = read_config_file(path, facts.environment, problems);
  problems.throw_if_any();
  const FileKind kind = checked_kind(*root, path);
  const Config config = resolve_checked(*root, kind, path, without_folders(facts));
  std::string text = fmt::format("{}: valid {}\n", path, name_of(kind));
  for (const Field& field : fields()) {
    const Origin& origin = config.origins.at(field.path);
    if (origin.place.rfind(path, 0) != 0) continue;
    text += fmt::format("  {} = {}  ({}, {})\n", field.path, field.get(config), origin.key,
                        origin.place);
  }
  for (const std::string& waiting : config.unresolved) {
    text += fmt::format("  open until the run is known: {}\n", waiting);
  }
  for (const std::string& notice : config.notices) text += fmt::format("  notice: {}\n", notice);
  return text;
}

}  // namespace zt::config
