#pragma once

#include <string>

#include "config/config.h"

namespace zt {

/// The resolved configuration; sections are plain structs, so a program may fill them itself.
using Config = config::Config;

/// Reads a DeepSpeed configuration: a path, JSON text, or URL-safe base64 of it.
/// Errors: ConfigError listing every problem with its place.
[[nodiscard]] Config config_from_deepspeed(const std::string& source, int world);

}  // namespace zt
