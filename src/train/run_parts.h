#pragma once

#include <optional>

#include "comm/rendezvous.h"
#include "config/config.h"
#include "data/loader.h"
#include "plan/candidate.h"
#include "train/model_source.h"
#include "train/results.h"
#include "train/step_plan.h"
#include "train/summary.h"
#include "train/window.h"
#include "zero/engine.h"

namespace zt::train {

/// The data of a run in the order the steps take it.
struct RunData {
  data::Datasets sets;
  std::optional<data::Sampler> sampler;  ///< refers to nothing; absent without training
  std::int64_t batch = 1;                ///< samples per rank and micro-batch of training
};

/// Where the run has to fit, the same on every rank. Collective.
[[nodiscard]] plan::Target plan_target(const config::Config& config, const zero::RankContext& rank,
                                       int local_world);

/// Facts for the console. `planned`: after the choices.
[[nodiscard]] RunSummary summarise(const config::Config& config, const OpenedModel& model,
                                   const RunData& data, const plan::Candidate& planned,
                                   const zero::RankContext& rank);

/// Forward and backward of one token, as MFU counts them.
[[nodiscard]] double flops_per_token(const OpenedModel& model, std::int64_t sequence);

/// What Hugging Face's total_flos counts per token: 6 x parameters without the embedding table.
[[nodiscard]] double total_flos_per_token(const zero::Engine& engine);

/// An engine, the plan it was built to, and the memory of the process before that.
struct PlannedEngine {
  plan::Candidate plan;
  ProcessMemory memory_base;
  std::unique_ptr<zero::Engine> engine;
};

/// Planned and measured memory of all ranks, as text. Collective.
[[nodiscard]] std::string compare_memory(const PlannedEngine& planned,
                                         const zero::RankContext& rank);

/// Writes the result files that there are results for; an all_results.json that is there keeps its
/// other keys, as with Hugging Face. Rank 0 only. Errors: FileError.
void write_results(const std::string& folder, const std::optional<TrainResult>& trained,
                   const std::optional<EvalResult>& evaluated);

}  // namespace zt::train
