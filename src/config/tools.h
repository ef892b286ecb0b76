#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/resolve.h"

namespace zt::config {

/// What a field does to memory and speed; empty: nothing.
struct Effect {
  const char* field;
  const char* memory;
  const char* speed;
};
[[nodiscard]] const std::vector<Effect>& effects();
/// Its row in docs/config.md.
[[nodiscard]] std::string documented(const Effect& effect);

/// Checks one configuration file of any format, as far as that is possible without its folders.
/// Returns a report: what it is, the fields that it sets with their lines, notices.
/// Errors: ConfigError listing every problem with its place and what is valid.
[[nodiscard]] std::string check_file(const std::string& path, const Facts& facts);

/// What a key is (a flag, a key of DeepSpeed JSON or of a task file, or a field): meaning, valid
/// values, default, effect on memory and speed; with a file also value and origin. `path` may be
/// empty. Errors: ConfigError naming the nearest key.
[[nodiscard]] std::string explain(const std::string& key, const std::string& path,
                                  const Facts& facts);

/// One key of a file and what becomes of it here.
struct Migration {
  enum class Fate { maps, ignored, refused };
  std::string place, key, value;
  Fate fate = Fate::maps;
  std::string text;  ///< the flag and field it becomes, or why not
};

/// Every key of a file, in its order. Errors: ConfigError when the file cannot be read.
[[nodiscard]] std::vector<Migration> migrate_file(const std::string& path, const Facts& facts);

/// Answers questions by name; empty: the default.
using Answer =
    std::function<std::string(const std::string& question, const std::vector<std::string>& choices,
                              const std::string& default_answer)>;

/// Asks what `accelerate config` asks, as far as it can be answered here, and returns the text of a
/// `default_config.yaml`.
[[nodiscard]] std::string ask_configuration(const Answer& answer);

}  // namespace zt::config
