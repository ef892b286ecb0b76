#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace zt::train {

/// The checkpoint that a user's `path` means: `path` itself when it holds one (native, an output
/// folder with checkpoint-N, DeepSpeed); else the newest `step_N` of `path` or `path`/checkpoints;
/// else `path`/final. `path` again when there is none of these.
[[nodiscard]] std::string locate_checkpoint(const std::string& path);

/// What was moved out of a run's way.
struct SetAside {
  std::size_t num_folders = 0;
  std::string folder;  ///< where they are now; empty: nothing was moved
};

/// Moves checkpoints of steps behind `step` into a new folder `<output_dir>/previous_run_<n>`:
/// those of DeepSpeed's layout that are ours too, with `latest` if it names one of them. One
/// process. Errors: filesystem_error.
SetAside set_checkpoints_aside(const std::string& output_dir, std::int64_t step);

}  // namespace zt::train
