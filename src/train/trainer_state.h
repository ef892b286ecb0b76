#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "train/log_values.h"

namespace zt::train {

/// What `trainer_state.json` says about a run and that does not change during it.
struct TrainerStateFacts {
  std::int64_t max_steps = 0;
  std::int64_t logging_steps = 500, eval_steps = 500, save_steps = 500;  ///< as steps, not shares
  std::int64_t train_batch_size = 1;                                     ///< per rank
  std::int64_t num_train_epochs = 1;                                     ///< begun ones
  double flops_per_token = 0;  ///< 6 x parameters without embeddings
};

/// Hugging Face's TrainerState: the log history and the counters that `trainer_state.json` holds.
/// Rank 0. Source: transformers TrainerState.save_to_json.
class TrainerState : public TrainObserver {
 public:
  /// `path`: written when the run ends and after each evaluation behind that; empty: never.
  TrainerState(TrainerStateFacts facts, std::string path);

  /// Goes on from the text of a checkpoint's `trainer_state.json`, of this program or of
  /// transformers. Errors: FileError when it is not that.
  void restore(const std::string& text);
  /// The text for a checkpoint of the step that was told last.
  [[nodiscard]] std::string checkpoint_text() const;
  /// The best checkpoint so far by the metric that decides.
  void set_best(double metric, std::int64_t step, const std::string& folder);

  void on_step(const StepRecord& record) override;
  void on_log(const LogRecord& record) override;
  void on_evaluate(const StepRecord& step, const EvalResult& result) override;
  /// Errors: FileError.
  void on_end(const TrainResult& result) override;

 private:
  void add(const LogValues& values, std::int64_t step);
  [[nodiscard]] std::string text(bool saving) const;
  void write() const;

  TrainerStateFacts facts_;
  std::string path_;
  bool ended_ = false;
  nlohmann::json values_;  ///< the file's object, all but the callbacks' state
};

}  // namespace zt::train
