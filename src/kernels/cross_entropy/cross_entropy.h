#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// Cross-entropy of rows of logits, softmax in fp32. Rows whose target is -100 count nothing.
/// loss_sum fp64 [1] on the device += sum of row losses in row order (fixed).
/// When `grad` is not empty: grad = (softmax - onehot) * scale, in grad's dtype; grad may be
/// logits. Shapes: logits [rows x vocab] fp32 or compute dtype; targets int64 [rows]; row_loss fp32
/// [rows].
struct CrossEntropy {
  View logits, targets, grad, row_loss, loss_sum;
  /// One fp32 in the launch device's memory, read when the kernel runs, instead of the argument
  /// `scale`: a captured launch takes part in every step. Empty: the argument counts.
  View scale;
};
void cross_entropy(const CrossEntropy& io, std::int64_t rows, std::int64_t vocab, double scale,
                   const Launch& launch);

}  // namespace zt::kernels
