#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/store.h"
#include "comm/rendezvous.h"
#include "config/config.h"
#include "plan/candidate.h"
#include "train/checkpointing.h"
#include "train/resume.h"
#include "train/trainer.h"
#include "train/trainer_state.h"

namespace zt::train {

/// Everything of one run that has to do with checkpoints: the right to write into the output
/// folder, the checkpoint it goes on from, and the saves on the way. One per rank.
class RunCheckpoints {
 public:
  /// Locks the output folder of a training run, finds what is resumed and changes `config` so that
  /// the run goes on as it was. Checkpoints of an earlier run that is not resumed, and those of
  /// later steps than the resumed one, are set aside in `<output_dir>/previous_run_<n>`, never
  /// deleted. Collective. Errors: CheckpointError, ConfigError on all ranks.
  RunCheckpoints(comm::RankGroup& group, config::Config& config,
                 const std::vector<layout::ParamSpec>& params, Say say);

  /// How the ranks talk about checkpoints that are there.
  [[nodiscard]] const checkpoint::RankExchange& exchange() const { return exchanges_.look; }
  /// What the run goes on from; null: it starts at the beginning.
  [[nodiscard]] const Resume* resume() const { return resume_.get(); }
  /// Where the loop goes on; the beginning without a checkpoint.
  [[nodiscard]] TrainStart start(const StepPlan& plan) const;
  /// The text of the checkpoint's trainer_state.json; empty: none.
  [[nodiscard]] std::string trainer_state() const;
  /// What the loop saves with. `state`: of rank 0, else null.
  struct Loop {
    zero::Engine* engine = nullptr;
    StepPlan plan;
    zero::EngineOptions options;  ///< after the planner's choices
    std::int64_t coalesce = 1;
    std::function<double(std::int64_t applied_steps)> learning_rate;
    StopSignals* signals = nullptr;
    const Observers* observers = nullptr;
    TrainerState* state = nullptr;
  };
  [[nodiscard]] Checkpointing& begin(const Loop& loop);
  /// Writes the checkpoint of a run that resumed behind its last step into its own output folder,
  /// unless it came from there.
  void save_unchanged(const TrainStart& start);
  /// With --load_best_model_at_end: the best weights into the engine. A best checkpoint that is
  /// gone or damaged is warned of. Collective.
  void load_best(zero::Engine& engine) const;

 private:
  /// One per thread that talks to the other ranks: about checkpoints that are there, saves, and
  /// what is deleted.
  struct Exchanges {
    checkpoint::RankExchange look, save, retain;
  };

  void set_aside() const;
  [[nodiscard]] CheckpointWriterOptions writer_options(const Loop& loop) const;
  [[nodiscard]] checkpoint::NativeSaveOptions save_options(const Loop& loop) const;
  [[nodiscard]] BestModel resumed_best() const;

  const config::Config& config_;
  int rank_, world_;
  Say say_;
  std::unique_ptr<comm::Store> store_connection_;
  Exchanges exchanges_;
  std::optional<checkpoint::CheckpointStore> store_;  ///< training runs only
  std::unique_ptr<Resume> resume_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::unique_ptr<Checkpointing> checkpointing_;
};

}  // namespace zt::train
