#pragma once

#include <optional>
#include <string>

#include "config/json_reader.h"
#include "zero/engine.h"

namespace zt::plan {

/// DeepSpeed JSON of a run: batch, precision and `zero_optimization`. `"auto"` is not used, so that
/// zerotrain, DeepSpeed alone and the Hugging Face trainer read the same numbers. The batch is
/// that of `options`, which must not be coalesced yet. `given`: the document that the run was
/// described with; what it says of other things (clipping, optimizer, data types, ...) is kept.
std::string ds_config_json(const zero::EngineOptions& options,
                           const std::optional<config::Value>& given = {});

/// Writes a new file by rename; a link stays and its file is replaced. Errors: FileError for a
/// device, a pipe or a folder; ConfigError when the file exists and `overwrite` is false, or cannot
/// be written.
void write_new_file(const std::string& path, const std::string& text, bool overwrite);

}  // namespace zt::plan
