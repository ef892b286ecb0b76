#pragma once

#include <functional>
#include <future>

#include "config/config.h"
#include "data/loader.h"
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
};

/// The training loop of one rank.
class Trainer {
 public:
  Trainer(TrainerParts parts, TrainerOptions options);

  /// Runs all steps and the evaluations between them.
  /// Errors: Error after too many consecutive steps that are not finite, naming step and ranks;
  /// whatever engine, data and communicator throw.
  TrainResult run();

 private:
  [[nodiscard]] data::StepBatch read_ahead(std::int64_t step);
  void mark(comm::Activity activity, std::int64_t step) const;
  StepRecord run_step(std::int64_t step);
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
  LogWindow log_window_;
  TrainResult result_;
};

}  // namespace zt::train
