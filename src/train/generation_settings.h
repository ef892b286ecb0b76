#pragma once

#include <string>
#include <vector>

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

/// The drawing settings that the user has set and that change nothing, as `settings` do not draw;
/// one line each, with its place. None where the user has said so: that is known without the model.
[[nodiscard]] std::vector<std::string> ignored_settings(const config::Config& config,
                                                        const generate::Settings& settings);

}  // namespace zt::train
