#pragma once

#include <string>

#include "checkpoint/exchange.h"
#include "config/config.h"

namespace zt::train {

/// Where `zt run --task test` and `--task predict` take the weights from: the folder, and how it
/// was found, for the log. The first of:
/// --resume_from_checkpoint (a checkpoint, an output folder, `latest`), --init_from, the model that
/// a run has saved in --output_dir, the newest checkpoint there, the model's own folder.
struct TrainedWeights {
  std::string folder;
  std::string found_as;
};

/// Errors: CheckpointError, FileError when there are none; ConfigError for --from_scratch, which
/// has nothing that was trained.
[[nodiscard]] TrainedWeights find_trained_weights(const config::Config& config);

/// Reads a checkpoint's bytes and compares them with its hashes, the ranks sharing the work;
/// Hugging Face folders have none. Collective. Errors: CheckpointError on all ranks.
void verify_weights(const std::string& folder, const checkpoint::RankExchange& exchange);

}  // namespace zt::train
