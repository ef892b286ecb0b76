#pragma once

#include <string>

namespace zt::train {

/// The checkpoint that a user's `path` means: `path` itself when it holds one (native, an output
/// folder with checkpoint-N, DeepSpeed); else the newest `step_N` of `path` or `path`/checkpoints;
/// else `path`/final. `path` again when there is none of these.
[[nodiscard]] std::string locate_checkpoint(const std::string& path);

}  // namespace zt::train
