#pragma once

#include <cstdint>
#include <string>

#include "config/config.h"
#include "data/tokenizer.h"
#include "model/family.h"
#include "zero/engine.h"

namespace zt::train {

/// A model folder, opened: sizes, layers, and where the initial values come from.
struct OpenedModel {
  model::Model config;
  zero::ModelParts parts;
  zero::ParamSource values;  ///< of parts.params; reads only what it is asked for
};

/// Reads config.json and, unless `from_scratch`, maps the weights and compares their names and
/// shapes with the model's. Errors: FileError, ConfigError.
/// `init_from`: folder of weights that are taken instead, or empty; also a checkpoint of ours or
/// DeepSpeed's, whose fp32 masters are taken where there are any.
[[nodiscard]] OpenedModel open_model(const config::ModelConfig& options, std::uint64_t seed,
                                     const std::string& init_from = {});

/// Errors: ConfigError when a block of `tokens` is longer than the model's positions.
void require_length(const model::Model& model, std::int64_t tokens);

/// The tokenizer of --tokenizer_name_or_path, or of the model's folder.
/// Errors: those of data::Tokenizer::load.
[[nodiscard]] data::Tokenizer load_tokenizer(const config::ModelConfig& model);

}  // namespace zt::train
