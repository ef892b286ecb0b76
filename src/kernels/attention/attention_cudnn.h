#pragma once

#include <optional>

#include "kernels/attention/attention.h"

namespace zt::kernels {

/// Longest sequence that attention_cudnn_backward takes: cuDNN writes the gradient of all scores
/// (B x Hq x T x T in 16 bit) to memory, so that nothing is added up out of order.
inline constexpr std::int64_t kMaxCudnnScores = 4096;

/// Whether this build has cuDNN's graph interface (its headers were there).
bool attention_cudnn_available();

/// Causal backward with the same bits on every call, on tensors as AttentionBackward describes
/// them, without documents. Nothing when cuDNN has no such kernel for the shape on this device. The
/// first call for a shape plans it; every later one gives the same answer. Throws DeviceError.
std::optional<AttentionGrads> attention_cudnn_backward(const AttentionBackward& io,
                                                       const AttentionShape& shape);

}  // namespace zt::kernels
