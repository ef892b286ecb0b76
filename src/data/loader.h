#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "data/sampler.h"

namespace zt::data {

/// `batch` rows of `sequence` tokens, one after the other.
struct MicroBatch {
  std::int64_t batch = 0, sequence = 0;
  std::vector<std::int64_t> input_ids;  ///< [batch * sequence]
  std::vector<std::int64_t> labels;  ///< [batch * sequence]; targets: [t] belongs to token t + 1,
                                     ///< -100: none (always at the last position of a row)
  /// Starts of documents in the flattened batch, ascending, with `batch * sequence` as last entry:
  /// the `cu_seqlens` of attention within documents. Every row starts a document.
  std::vector<std::int32_t> document_starts;
  std::int64_t target_tokens = 0;  ///< labels other than -100
  std::int64_t samples = 0;  ///< rows that are samples; the others are fillers without targets
};

/// Everything one rank computes in one optimizer step.
struct StepBatch {
  std::vector<MicroBatch> micro;
  std::int64_t target_tokens_local = 0;  ///< the ranks' sum divides the loss of the step
  double epoch = 0;                      ///< after the step
};

/// Reads `samples` of `dataset` into a batch of `batch` rows; rows beyond are fillers.
MicroBatch read_batch(const Dataset& dataset, std::span<const std::int64_t> samples,
                      std::int64_t batch);

/// Whole steps of one rank. Thread: any number at once. Keeps references to both arguments.
class TrainLoader {
 public:
  TrainLoader(const Dataset& dataset, const Sampler& sampler, std::int64_t per_device_batch,
              std::int64_t rank)
      : dataset_(&dataset), sampler_(&sampler), batch_(per_device_batch), rank_(rank) {}

  /// The batch of step `step` (from 0): as many micro-batches on every rank, all with
  /// `per_device_batch` rows.
  StepBatch read_step(std::int64_t step) const;

 private:
  const Dataset* dataset_;
  const Sampler* sampler_;
  std::int64_t batch_, rank_;
};

/// Sequential batches of one rank over an evaluation set: batch k of the set goes to rank k mod
/// world. Every rank has the same number; those past the end hold fillers only. No sample comes
/// twice.
class EvalLoader {
 public:
  EvalLoader(const Dataset& dataset, std::int64_t per_device_batch, std::int64_t world,
             std::int64_t rank)
      : dataset_(&dataset), batch_(per_device_batch), world_(world), rank_(rank) {}

  std::int64_t num_batches() const;
  MicroBatch read(std::int64_t index) const;

 private:
  const Dataset* dataset_;
  std::int64_t batch_, world_, rank_;
};

}  // namespace zt::data
