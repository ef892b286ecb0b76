#pragma once

#include <string>
#include <vector>

#include "config/env.h"

namespace zt::launch {

/// `KEY=VALUE` lines, split at the first `=`. Blank lines and lines that begin with # are skipped.
/// `path` is for messages. Errors: ConfigError for a line without `=` or with a bad name.
[[nodiscard]] config::Variables parse_env_file(const std::string& text, const std::string& path);

/// What the ranks of other machines get of this environment: names that begin with NCCL, PYTHON,
/// UCX, MV2, MLFLOW, OMP_, HF_, TORCH_, CUDA_DEVICE_MAX, ZT_ or DEEPSPEED_TIMEOUT; then
/// .deepspeed_env of the home directory, then that of `folder` (later wins); DS_ENV_FILE is another
/// name for these files, or one path. PYTHONPATH gets `folder` in front. Errors: ConfigError.
[[nodiscard]] config::Variables exported_variables(const config::Variables& environment,
                                                   const std::string& folder);

}  // namespace zt::launch
