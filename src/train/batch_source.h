#pragma once

#include <cstdint>

#include "layer/layer.h"

namespace zt::train {

/// Where this rank's micro-batches come from. Ranks have equally many.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  BatchSource() = default;
  BatchSource(const BatchSource&) = delete;
  BatchSource& operator=(const BatchSource&) = delete;

  /// Micro-batches of this rank in one pass over the data; the same on every rank.
  [[nodiscard]] virtual std::int64_t batches() const = 0;
  /// Blocks of the data set, over all ranks.
  [[nodiscard]] virtual std::int64_t samples() const = 0;
  /// The micro-batch `index` of this rank in epoch `epoch`, on the host. Shapes: B x T as declared;
  /// rows without a sample have targets -100.
  [[nodiscard]] virtual layer::Batch read(std::int64_t epoch, std::int64_t index) = 0;
};

}  // namespace zt::train
