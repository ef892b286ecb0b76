#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zt::train {

/// Outcome of one evaluation, over all ranks.
struct EvalResult {
  double loss = 0;           ///< token-weighted mean
  std::int64_t tokens = 0;   ///< targets
  std::int64_t samples = 0;  ///< blocks
  std::int64_t batches = 0;  ///< per rank
  double seconds = 0;
  std::optional<std::int64_t> hits;  ///< targets that were the most probable token, where counted
};

/// exp(loss); infinity when that overflows.
[[nodiscard]] double perplexity(double loss);

/// Outcome of a whole training run.
struct TrainResult {
  double epoch = 0;
  std::int64_t steps = 0;
  std::int64_t skipped_steps = 0;
  double mean_loss = 0;  ///< over steps that were not skipped; NaN: all were
  double seconds = 0;
  std::int64_t samples = 0;          ///< blocks of the training data
  std::int64_t samples_seen = 0;     ///< blocks trained on, those before a resume included
  std::int64_t resumed_step = 0;     ///< last step before this process began; 0: none
  std::int64_t resumed_samples = 0;  ///< blocks seen by then
  bool stopped = false;  ///< before the last step, by a signal or the time limit; state is saved
  double flops = 0;      ///< 6 x tokens x parameters without embeddings
};

/// `eval_results.json` of Hugging Face: indent 4, sorted keys, 4 decimals for the run time, 3 for
/// rates. Source: transformers Trainer.save_metrics.
[[nodiscard]] std::string eval_results_json(const EvalResult& result, double epoch);
[[nodiscard]] std::string train_results_json(const TrainResult& result);
/// `test_results.json` of `zt run --task test`, in the same form: test_loss, test_perplexity,
/// test_accuracy (share of targets that are the most probable token), test_tokens, test_samples,
/// test_runtime. Needs `hits`.
[[nodiscard]] std::string test_results_json(const EvalResult& result);
/// The union of result objects, later ones winning. Errors: FileError when one is not JSON.
[[nodiscard]] std::string merge_results_json(const std::vector<std::string>& objects);

/// A small text file as a whole. Errors: FileError.
[[nodiscard]] std::string read_text_file(const std::string& path);
/// Writes a small text file as a whole. Errors: FileError.
void write_text_file(const std::string& path, const std::string& text);

}  // namespace zt::train
