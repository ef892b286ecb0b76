#pragma once

#include "train/run.h"

namespace zt::train {

/// Everything that can be wrong with the files of `zt run --task predict`, found without a device
/// or a peer: flags, model, weights, prompts, settings. Returns the resolved configuration.
/// Errors: ConfigError, FileError.
config::Config check_predict_inputs(const RunInput& input);

/// One rank of `zt run --task predict`: gathers the weights once, completes this rank's prompts and
/// brings the results to rank 0's file. Errors: every type of base/error.h; before one leaves, the
/// other ranks have been told.
void predict(const RunInput& input);

}  // namespace zt::train
