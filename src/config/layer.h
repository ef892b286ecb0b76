#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/flags.h"
#include "config/json_reader.h"
#include "config/resolve.h"

namespace zt::config {

/// What one source (a file, the environment, the command line) says, in the words of flags.
struct Layer {
  std::string name;  ///< in messages: `task.yaml`, `command line`
  FlagValues flags;
  std::map<std::string, FlagValue> fields;  ///< fields of the Config tree that have no flag
  std::optional<Value> deepspeed;           ///< a DeepSpeed document written inside the file
};

/// Puts `over` above `base`: its values win, also over other spellings of the same wish
/// (`fp16` over `bf16`, `recompute` over `gradient_checkpointing`).
void put_over(Layer& base, const Layer& over);

/// What a file says that is not read as a task file but as something else.
enum class FileKind : std::uint8_t { deepspeed, accelerate, task };

/// Tells the kinds of configuration files apart by their keys.
[[nodiscard]] FileKind kind_of(const Value& root);

/// A parsed configuration file, JSON or YAML by its ending and its first character.
/// Reports what is wrong; nothing then. `${NAME}` and `${NAME:-default}` in values are replaced
/// from `environment`; `$$` stands for one `$`.
[[nodiscard]] std::optional<Value> read_config_file(const std::string& path,
                                                    const Variables& environment,
                                                    Problems& problems);

/// Replaces `${NAME}`, `${NAME:-default}` and `$$` in the texts of a document that was read from
/// `name`.
void replace_variables(Value& root, const Variables& environment, const std::string& name,
                       Problems& problems);

/// A task file, a preset, or a file of flags (HfArgumentParser's JSON or YAML) in the words of
/// flags. Unknown keys are problems that name the nearest key.
[[nodiscard]] Layer read_task_layer(const Value& root, const std::string& name, Task task,
                                    Problems& problems, std::vector<std::string>& notices);

/// What configs/config_<preset>.yaml says, which the program carries. An unknown name is a problem
/// that lists the known ones.
[[nodiscard]] Layer read_preset_layer(const FlagValue& preset, Task task, Problems& problems,
                                      std::vector<std::string>& notices);

/// One key of a task file that is no flag of the same name.
struct TaskKey {
  const char* section;  ///< `training`; empty: the top level
  const char* key;
  const char* flag;   ///< the flag it stands for; null: `field`
  const char* field;  ///< the field it writes
};
[[nodiscard]] const std::vector<TaskKey>& task_keys();
[[nodiscard]] const std::vector<std::string>& task_sections();

/// The value as JSON text, for flags that take JSON.
[[nodiscard]] std::string to_json(const Value& value);

}  // namespace zt::config
