#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/env.h"
#include "config/json_reader.h"

namespace zt::config {

/// What is known beside the flags. Resolve first with what there is, before any device or model is
/// touched; resolve the same arguments again once the rest is known. `Config::unresolved` lists
/// what still waits, and for which fact.
struct Facts {
  std::optional<std::int64_t> world_size;   ///< data-parallel ranks; absent: `--nproc` if given
  std::optional<std::int64_t> hidden_size;  ///< of the model; three `"auto"` keys need it
  bool has_gpu = false;                     ///< this machine has a GPU that the build can use
  bool reads_data =
      true;  ///< false (`zt plan`): data and output folders are neither required nor checked
  bool reads_model = true;  ///< false (`zt plan`): the model may be a name instead of a folder
  std::vector<std::string> model_names;  ///< sizes that --from_scratch trains without a folder
  Task task = Task::train;  ///< what `zt run` does; it decides which folders have to be there
  Variables environment;    ///< for `${NAME}` in files and the variables of a launcher
};

/// Builds the one configuration from the flags of `zt train` (Hugging Face names and syntax), the
/// file that `--config` or the first argument names (task YAML, preset, file of flags), and the
/// DeepSpeed JSON that `--deepspeed` names.
/// Errors: ConfigError listing every problem, one line each, with its place and what is valid.
/// Touches no device; checks that the paths exist.
[[nodiscard]] Config resolve(const std::vector<std::string>& args, const Facts& facts = {});

/// The DeepSpeed document that `args` give, as a file or by flags, its keys under the names of
/// docs/config.md; empty when they give none. Errors: ConfigError when it cannot be read.
[[nodiscard]] std::optional<Value> deepspeed_document(const std::vector<std::string>& args,
                                                      const Facts& facts = {});

/// Builds a configuration from DeepSpeed JSON alone, for `zt::initialize`: there are no training
/// arguments, so `"auto"` outside strict sections and a missing batch size are errors.
/// `source`: a path, JSON text starting with `{`, or URL-safe base64 of it.
/// Errors: ConfigError listing every problem.
[[nodiscard]] Config from_deepspeed(const std::string& source, const Facts& facts = {});

/// The resolved tree as text, one `field = value  (origin)` line per field, sections in order.
[[nodiscard]] std::string describe(const Config& config);

/// The `--help` text of a command (`train`, `plan`, `launch`): every flag with its type, default
/// and effect. Errors: ConfigError for an unknown command.
[[nodiscard]] std::string help_text(const std::string& command);

}  // namespace zt::config
