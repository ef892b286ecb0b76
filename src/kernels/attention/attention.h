#pragma once

#include <ATen/core/Tensor.h>

#include "memory/view.h"

namespace zt::kernels {

/// Causal grouped-query attention. Layout of q, k, v and out: [B, T, H, D] (contiguous).
struct AttentionShape {
  std::int64_t batch = 0, sequence = 0, q_heads = 0, kv_heads = 0, head_dim = 0;
};

/// Without cu_seqlens: causal over each of the B sequences. With cu_seqlens (int32 [n + 1] on the
/// CPU, starts in the flattened B x T): causal inside each document only. On CUDA the starts may
/// lie on the device, as a graph capture needs; no document may then be longer than `sequence`. out
/// [B, T, Hq, D] and log_sum_exp fp32 [B, Hq, T] are filled. Scale is D^-0.5; softmax in fp32.
void attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const at::Tensor& cu_seqlens, const at::Tensor& out,
                       const at::Tensor& log_sum_exp, const AttentionShape& shape,
                       bool deterministic, const Launch& launch);

/// Gradients in the layout of q, k and v. Same bits on every call when `deterministic`.
struct AttentionBackward {
  at::Tensor q, k, v, cu_seqlens, out, log_sum_exp, grad_out;
  /// To fill. On CUDA they may be undefined: the result then has the library's own tensors, which
  /// saves copying them.
  at::Tensor grad_q, grad_k, grad_v;
};
struct AttentionGrads {
  at::Tensor q, k, v;
};
AttentionGrads attention_backward(const AttentionBackward& io, const AttentionShape& shape,
                                  bool deterministic, const Launch& launch);

/// Upper estimate of what ATen and cuDNN allocate during the two calls; `deterministic`: without
/// documents.
Bytes attention_library(const AttentionShape& shape, DType compute, Device device,
                        bool deterministic);

}  // namespace zt::kernels
