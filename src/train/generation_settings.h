#pragma once

#include "config/config.h"
#include "data/tokenizer.h"
#include "generate/settings.h"

namespace zt::train {

/// How `--task predict` generates: generation_config.json of the model's folder where it has one,
/// and over it what the user has set. Without `eos_token_id` there: config.json's, else the
/// tokenizer's. Errors: ConfigError, FileError.
[[nodiscard]] generate::Settings generation_settings(const config::Config& config,
                                                     const data::Tokenizer& tokenizer,
                                                     std::int64_t vocab);

}  // namespace zt::train
