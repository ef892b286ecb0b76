#pragma once

#include <memory>
#include <string>
#include <vector>

#include "train/metrics.h"
#include "train/results.h"

namespace zt::train {

/// What is logged at the steps that --logging_steps names.
struct LogRecord {
  StepRecord step;  ///< the step that is logged
  double loss = 0;  ///< mean over the steps since the last log; NaN: none was finite
};

/// Hears what the loop of one rank does and never changes it. Writers of files and of the console
/// are added on rank 0 only. Within a step: on_step, on_log, on_evaluate, on_save. What a function
/// throws ends the run.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  /// After every optimizer step, skipped ones included.
  virtual void on_step(const StepRecord& /*record*/) {}
  virtual void on_log(const LogRecord& /*record*/) {}
  /// `step`: the last one before the evaluation.
  virtual void on_evaluate(const StepRecord& /*step*/, const EvalResult& /*result*/) {}
  /// A checkpoint of `step` was published in `folder`.
  virtual void on_save(std::int64_t /*step*/, const std::string& /*folder*/) {}
  /// After the last step, before the evaluation and the save that end the run.
  virtual void on_end(const TrainResult& /*result*/) {}
  /// Instead of on_end, when a signal or the time limit ended the run before its last step.
  virtual void on_stop() {}
};

using Observers = std::vector<std::unique_ptr<TrainObserver>>;

}  // namespace zt::train
