#include "train/evaluate.h"

#include <chrono>

#include "base/error.h"
#include "train/not_finite.h"
#include "train/window.h"
#include "zero/rank_values.h"

namespace zt::train {

EvalResult evaluate(zero::Engine& engine, const EvalData& data, const zero::RankContext& rank) {
  const auto start = std::chrono::steady_clock::now();
  double loss_sum = 0;
  std::int64_t targets = 0, hits = 0;
  const std::int64_t batches = data.loader->num_batches();
  for (std::int64_t i = 0; i < batches; ++i) {
    if (rank.position != nullptr) rank.position->begin(comm::Activity::evaluating);
    const auto micro = data.loader->read(i);
    targets += micro.target_tokens;
    const auto batch = to_batch(micro, data.document_mask);
    const auto on_device = to_device(batch, rank.device, rank.device_index);
    if (data.count_hits) {
      const auto found = engine.evaluate_tokens(on_device);
      loss_sum += found.loss_sum;
      hits += found.hits;
    } else {
      loss_sum += engine.evaluate(on_device);
    }
  }
  if (rank.position != nullptr) rank.position->begin(comm::Activity::evaluating);
  auto& communicator = *rank.communicator;
  // In rank order on every rank, so that all get the same bits.
  double total = 0;
  for (const auto& of_rank : zero::gather_values(communicator, std::vector<double>{loss_sum})) {
    total += of_rank.front();
  }
  const std::int64_t tokens = zero::sum_over_ranks(communicator, targets);
  if (tokens == 0) {
    throw FileError(
        "[train.evaluate] the evaluation data has no token to predict: got 0 targets. Check "
        "--validation_file_dir and --max_eval_samples.");
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EvalResult result{.loss = without_sign_of_nan(total / static_cast<double>(tokens)),
                    .tokens = tokens,
                    .samples = data.samples,
                    .batches = batches,
                    .seconds = seconds.count()};
  if (data.count_hits) result.hits = zero::sum_over_ranks(communicator, hits);
  return result;
}

}  // namespace zt::train
