#pragma once

#include "config/config.h"
#include "zero/engine.h"

namespace zt::train {

/// Writes the model as a Hugging Face folder: weights in the compute dtype, config.json, tokenizer
/// files byte for byte. Streams unit after unit; rank 0 writes, all ranks take part.
/// Errors: FileError; CommError.
void save_model(zero::Engine& engine, const config::Config& config, int rank);

}  // namespace zt::train
