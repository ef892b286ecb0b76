#pragma once

#include "kernels/token_matrix.h"

namespace zt::kernels {

/// Depthwise causal convolution over time with SiLU, as Mamba-1 has it before its scan:
///   p_t = bias + sum over k of weight[k] x_(t - (K - 1 - k)),  y_t = silu(p_t)
/// Tokens before the row, or before a token at position 0, count as zero. K from 1 to 8.
struct ConvShape {
  std::int64_t batch = 0, sequence = 0, channels = 0, width = 0;
};
inline constexpr std::int64_t kConvMaxWidth = 8;

/// Shapes: x [B*T x D] (fp32, bf16, fp16); weight [D x K] (Hugging Face's [D, 1, K]), bias [D]
/// (empty: zero), each fp32, bf16 or fp16; positions int64 [B*T] (empty: one document per row).
struct ConvInputs {
  TokenMatrix x;
  View weight, bias, positions;
};

/// y [B*T x D] of x's dtype. `initial_inputs` [B x K-1 x D] of x's dtype are the tokens before the
/// row, oldest first (empty: zeros); `final_inputs` receives the last K-1 inputs. They may be the
/// same view.
struct ConvForward {
  ConvInputs in;
  TokenMatrix y;
  View initial_inputs, final_inputs;
};
void causal_conv1d_forward(const ConvForward& io, const ConvShape& shape, const Launch& launch);

/// grad_x is overwritten (it may not overlap x or grad_y); grad_weight [D x K] and grad_bias [D]
/// (fp32, bf16, fp16; may be empty) are added to, in a fixed order. The row starts from zeros.
/// workspace fp32 [conv_workspace(shape)].
struct ConvBackward {
  ConvInputs in;
  TokenMatrix grad_y, grad_x;
  View grad_weight, grad_bias, workspace;
};
void causal_conv1d_backward(const ConvBackward& io, const ConvShape& shape, const Launch& launch);

/// fp32 elements of workspace that the backward needs.
std::int64_t conv_workspace(const ConvShape& shape);

/// One token of every row: x, y [B x D]; `inputs` [B x K-1 x D] moves on by one token.
/// `shape.sequence` is ignored, positions must be empty.
void causal_conv1d_step(const ConvInputs& in, const TokenMatrix& y, const View& inputs,
                        const ConvShape& shape, const Launch& launch);

}  // namespace zt::kernels
