#pragma once

#include <algorithm>

#include "kernels/causal_conv1d/causal_conv1d.h"

namespace zt::kernels {

/// Tokens whose share of grad_weight and grad_bias is summed together; the shares
/// [B * ceil(T / kConvTokens) x D * (K + 1)] (weight, then bias) are added in order.
inline constexpr std::int64_t kConvTokens = 64;

inline std::int64_t conv_shares(const ConvShape& shape) {
  return shape.batch * ((shape.sequence + kConvTokens - 1) / kConvTokens);
}

void causal_conv1d_forward_cpu(const ConvForward& io, const ConvShape& shape);
void causal_conv1d_backward_cpu(const ConvBackward& io, const ConvShape& shape);
void causal_conv1d_forward_cuda(const ConvForward& io, const ConvShape& shape, void* stream);
void causal_conv1d_backward_cuda(const ConvBackward& io, const ConvShape& shape, void* stream);

}  // namespace zt::kernels
