#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// Shapes of the fused q/k normalisation and rotary embedding. N = batch x sequence tokens, D =
/// head_dim.
struct QkNormRopeShape {
  std::int64_t batch = 0, sequence = 0;
  std::int64_t q_heads = 0, kv_heads = 0, head_dim = 0;
  bool qk_norm = true;  ///< false: rotary embedding only (Llama, Qwen2)
  float epsilon = 1e-6F;
};

/// From the fused projection qkv [N x (Hq + 2 Hkv) x D] (q heads, then k heads, then v heads) to
/// q [B x T x Hq x D] and k [B x T x Hkv x D], normalised per head (RMSNorm over D with q_weight /
/// k_weight [D], rounding as rms_norm) and rotated (half-split pairing), and v [B x T x Hkv x D]
/// copied. rstd fp32 [N x (Hq + Hkv)]. cos_sin fp32 [max_position x D]: D/2 cosines, then D/2 sines
/// per position, as rope_table fills it; each is rounded to the activation dtype before use (as HF
/// does). positions int64 [N].
struct QkNormRopeForward {
  View qkv, q_weight, k_weight, cos_sin, positions, q, k, v, rstd;
};
void qk_norm_rope_forward(const QkNormRopeForward& io, const QkNormRopeShape& shape,
                          const Launch& launch);

/// grad_qkv from grad_q, grad_k, grad_v (same layouts); grad_q_weight, grad_k_weight [D] += sums in
/// a fixed order. workspace fp32 [qk_norm_rope_workspace(shape)].
struct QkNormRopeBackward {
  View qkv, q_weight, k_weight, cos_sin, positions, rstd, grad_q, grad_k, grad_v, grad_qkv,
      grad_q_weight, grad_k_weight, workspace;
};
void qk_norm_rope_backward(const QkNormRopeBackward& io, const QkNormRopeShape& shape,
                           const Launch& launch);
std::int64_t qk_norm_rope_workspace(const QkNormRopeShape& shape);

/// Fills a host fp32 table [max_position x head_dim] of cosines and sines of p * theta^(-2i/D).
void rope_table(const View& table, std::int64_t max_position, std::int64_t head_dim, double theta);

}  // namespace zt::kernels
