#pragma once

#include <string>

namespace zt::train {

/// Makes sure that a run may write into `path`: creates the folder, tries to write, and refuses one
/// that already holds a model, metrics or checkpoints unless `overwrite`. Deletes nothing.
/// Errors: ConfigError naming what was found.
void prepare_output_dir(const std::string& path, bool overwrite);

}  // namespace zt::train
