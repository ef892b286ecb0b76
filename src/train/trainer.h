#pragma once

#include <functional>
#include <future>
#include <vector>

#include "config/config.h"
#include "data/loader.h"
#include "train/checkpointing.h"
#include "train/evaluate.h"
#include "train/log_window.h"
#include "train/memory_report.h"
#include "train/observer.h"
#include "train/step_plan.h"
#include "train/window.h"
#include "zero/engine.h"

namespace zt::train {

/// Learning rate of the next step from the number of steps applied before it.
using LearningRate = std::function<double(std::int64_t applied_steps)>;

/// What the loop works with. Everything outlives the trainer.
struct TrainerParts {
  zero::Engine* engine = nullptr;
  zero::RankContext rank;
  const data::TrainLoader* train_data = nullptr;
  const EvalData* eval_data = nullptr;  ///< null: no evaluation on the way
  const Observers* observers = nullptr;
  Checkpointing* checkpoints = nullptr;  ///< null: nothing is saved on the way
};

/// Where a resumed run goes on.
struct TrainStart {
  std::int64_t step = 0;          ///< steps that are done
  std::int64_t samples_seen = 0;  ///< blocks trained on by then
  double epoch = 0;
  std::vector<StepRecord> unlogged;  ///< steps since the last log, on the rank that logs
};

struct TrainerOptions {
  StepPlan plan;
  WindowShape window;
  LearningRate learning_rate;
  /// Consecutive skipped steps that end the run; 0: any number, as the fp16 loss scale falls.
  int max_nonfinite_steps = 3;
  ProcessMemory memory_base;   ///< the CPU's peak memory is counted from here
  std::int64_t samples = 0;    ///< blocks of the training data
  double flops_per_token = 0;  ///< as Hugging Face's total_flos counts them
  bool logging_nan_inf_filter = true;
  TrainStart start;
};

/// The training loop of one rank.
class Trainer {
 public:
  Trainer(TrainerParts parts, TrainerOptions options);

  /// Runs all steps that are left, with evaluations and saves between them. Ends early, with all
  /// saved, when a rank is told to.
  /// Errors: Error after too many consecutive steps that are not finite, naming step and ranks;
  /// whatever engine, data and communicator throw.
  TrainResult run();

 private:
  [[nodiscard]] data::StepBatch read_ahead(std::int64_t step);
  void mark(comm::Activity activity, std::int64_t step) const;
  StepRecord run_step(std::int64_t step);
  /// What this step's ranks have together: target tokens, tokens, wishes to save or stop.
  struct StepTotals {
    std::int64_t targets = 0, tokens = 0, wishes = 0;
  };
  [[nodiscard]] StepTotals gather_totals(const Window& window);
  void tell(const StepRecord& record);
  /// Evaluates and saves as the plan says. False: the run stops here.
  bool after_step(const StepRecord& record);
  void check_finite(const StepRecord& record);
  /// Evaluates on the way, outside the time that the steps around it are charged.
  void evaluate_after(const StepRecord& record);
  [[nodiscard]] Bytes peak_memory() const;

  TrainerParts parts_;
  TrainerOptions options_;
  std::future<data::StepBatch> next_;  ///< the coming step, read while the current one runs
  double started_ = 0;                 ///< seconds of the steady clock at the first step
  double step_ended_ = 0;
  int nonfinite_steps_ = 0;  ///< consecutive
  std::int64_t wishes_ = 0;  ///< of all ranks, at the current step
  LogWindow log_window_;
  TrainResult result_;
};

}  // namespace zt::train
