#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/exchange.h"
#include "checkpoint/state_source.h"
#include "config/config.h"
#include "data/sampler.h"
#include "train/checkpointing.h"
#include "zero/engine.h"

namespace zt::train {

/// A checkpoint that a run goes on from.
struct Resume {
  std::string folder;
  std::unique_ptr<checkpoint::StateSource> source;
  std::string config;      ///< of the run that saved, see resume_config_json; empty: unknown
  bool is_native = false;  ///< weights are exactly the masters rounded to `weight_dtype`
  std::optional<DType> weight_dtype;
};

/// Tells rank 0's log.
using Say = std::function<void(const std::string& line)>;

/// Finds what --resume_from_checkpoint names; equal on all ranks. Nothing: the run starts from the
/// beginning. `params`: of the model. Collective. Errors: CheckpointError on all ranks, saying what
/// was looked at and what is wrong with it.
[[nodiscard]] std::unique_ptr<Resume> find_resume(const config::Config& config,
                                                  const std::vector<layout::ParamSpec>& params,
                                                  const checkpoint::RankExchange& exchange,
                                                  const Say& say);

/// Changes `config` so that the run goes on as it was: the global batch (by accumulation), the data
/// order, and in a run of the same shape what `auto` had become. Errors: ConfigError when `world`
/// ranks cannot have the global batch, saying what can.
void adopt(config::Config& config, const Resume& resume, int world, const Say& say);

/// Fills the engine. Collective. Errors: CheckpointError when the checkpoint has no optimizer
/// state, or weights that are not those of its masters.
void load_engine(zero::Engine& engine, const Resume& resume, const Say& say);

/// What to warn of when steps take other samples than they did in the run that saved: the data, or
/// what an epoch's steps are, has changed. Empty: they take the same, or nobody can know.
[[nodiscard]] std::string place_warning(const Resume& resume, const data::Sampler& sampler);

/// The best model so far as `trainer_state.json` has it; step 0: none.
[[nodiscard]] BestModel best_of(const std::string& trainer_state);

/// The resolved configuration as a flat JSON object: field path to text, and the number of ranks.
[[nodiscard]] std::string resume_config_json(const config::Config& config, int world);

}  // namespace zt::train
