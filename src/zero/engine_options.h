#pragma once

#include "config/config.h"
#include "zero/engine.h"

namespace zt::zero {

/// The engine's options as a configuration gives them, before `auto` choices, for blocks of
/// `data.block_size` tokens.
[[nodiscard]] EngineOptions engine_options(const config::Config& config);

}  // namespace zt::zero
