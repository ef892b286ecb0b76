#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "train/checkpoint_writer.h"
#include "train/observer.h"
#include "train/step_plan.h"
#include "train/stop_signals.h"

namespace zt::train {

/// What a rank wishes for at a step; the ranks combine theirs with OR, so that all act alike.
enum Wish : std::int64_t {
  kWishStop = 1,      ///< SIGTERM or SIGINT came
  kWishSave = 2,      ///< SIGUSR1 came
  kWishTimeOver = 4,  ///< --max_train_time is over
  kWishFailed = 8     ///< a save failed in the background
};

/// The best checkpoint by the metric that decides.
struct BestModel {
  double metric = 0;
  std::int64_t step = 0;  ///< 0: there is none yet
  std::string folder;
};

struct CheckpointingOptions {
  config::CheckpointConfig checkpoint;
  StepPlan plan;
  checkpoint::RunState run;  ///< what does not change: global batch, coalesce, seeds
  std::string output_dir;
  BestModel best;  ///< of the run that is resumed
};

/// What it works with. Everything outlives it.
struct CheckpointingParts {
  zero::Engine* engine = nullptr;
  CheckpointWriter* writer = nullptr;
  StopSignals* signals = nullptr;        ///< null: signals are someone else's
  const Observers* observers = nullptr;  ///< hear of published checkpoints
  /// Rank 0: text of trainer_state.json as of now, and how it hears of the best model.
  std::function<std::string()> trainer_state;
  std::function<void(const BestModel&)> set_best;
};

/// Decides when a run saves and stops, and saves. The same calls on every rank, in the same order.
class Checkpointing {
 public:
  Checkpointing(CheckpointingParts parts, CheckpointingOptions options);

  /// This rank's wishes, asked before a step. Bits of Wish.
  [[nodiscard]] std::int64_t wishes();
  /// True when an evaluation has to follow `step`, the last one, because a best model is looked
  /// for.
  [[nodiscard]] bool needs_evaluation(std::int64_t step) const;
  /// Hears of an evaluation that followed `step`.
  void evaluated(std::int64_t step, const EvalResult& result);
  /// After a step and its evaluation: saves when it is time. `wishes`: of all ranks.
  /// `samples_seen`: blocks since the run's first start. True: the run stops here, its state is
  /// saved. Errors: CheckpointError on all ranks when a save failed.
  bool after_step(const StepRecord& record, std::int64_t wishes, std::int64_t samples_seen);
  /// Saves the state as it is, whatever the strategy.
  void save(std::int64_t step, double epoch, std::int64_t samples_seen);
  /// Waits for a save under way and reports it.
  void finish();

  /// Seconds that training waited for saves since the last call.
  [[nodiscard]] double take_blocked_seconds();
  [[nodiscard]] const BestModel& best() const { return options_.best; }

 private:
  [[nodiscard]] bool tracks_best() const;
  [[nodiscard]] bool saves(std::int64_t step) const;
  [[nodiscard]] std::string folder_of(std::int64_t step) const;
  void report_finished();
  void collect_blocked();

  CheckpointingParts parts_;
  CheckpointingOptions options_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  bool improved_ = false;       ///< the last evaluation was the best so far
  double blocked_of_save_ = 0;  ///< for the log line of the save under way
  double blocked_untold_ = 0;   ///< for the record of the coming step
};

}  // namespace zt::train
