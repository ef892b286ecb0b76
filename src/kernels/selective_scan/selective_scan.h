#pragma once

#include "kernels/token_matrix.h"

namespace zt::kernels {

/// The selective scan of Mamba-1 (Gu & Dao, 2023, section 3.3 and algorithm 2):
///   d = softplus(delta + delta_bias), A = -exp(a_log)
///   h_t = exp(d_t A) h_(t-1) + d_t u_t B_t        for each channel and state, fp32
///   y_t = (sum over states of C_t h_t + skip u_t) silu(z_t)
/// B rows of T tokens of D channels with N states (1 to 64) each.
struct ScanShape {
  std::int64_t batch = 0, sequence = 0, channels = 0, states = 0;
};

/// Tokens between two saved states.
inline constexpr std::int64_t kScanChunk = 64;
inline constexpr std::int64_t kScanMaxStates = 64;

/// Shapes: u, delta, z [B*T x D], b, c [B*T x N], all of one dtype (fp32, bf16, fp16); a_log [D x
/// N], skip [D], delta_bias [D], each fp32, bf16 or fp16. z empty: no gate; delta_bias empty: zero.
/// positions int64 [B*T]: a token at position 0 starts from a zero state; empty: only token 0 does.
struct ScanInputs {
  TokenMatrix u, delta, b, c, z;
  View a_log, skip, delta_bias, positions;
};

/// y [B*T x D]. `states` fp32 [scan_states(shape)] receives the state before every kScanChunk-th
/// token for the backward; empty: not kept. `initial_state` fp32 [B x D x N] replaces the zero
/// state before token 0 (inference only); `final_state` receives the state after the last token;
/// both may be empty or the same view.
struct ScanForward {
  ScanInputs in;
  TokenMatrix y;
  View states, initial_state, final_state, workspace;
};

/// u, delta, b, c, z are overwritten; a_log, skip and delta_bias (fp32, bf16 or fp16) are added to,
/// in a fixed order; z and delta_bias may be empty where the input is. u, delta and z may lie over
/// the inputs of the same name, b and c over theirs.
struct ScanGrads {
  TokenMatrix u, delta, b, c, z;
  View a_log, skip, delta_bias;
};

/// `states` as the forward wrote them; grad_y [B*T x D]. `y`, when not empty, receives the
/// forward's output again, so that it need not be kept.
struct ScanBackward {
  ScanInputs in;
  View states;
  TokenMatrix grad_y;
  ScanGrads grads;
  TokenMatrix y;
  View workspace;
};

/// fp32 elements of saved states: [B x ceil(T / kScanChunk) x D x N].
std::int64_t scan_states(const ScanShape& shape);
/// fp32 elements of workspace of the forward (0 when the scan has enough rows for a GPU) and of the
/// backward; the contents are free before and after.
std::int64_t scan_forward_workspace(const ScanShape& shape);
std::int64_t scan_backward_workspace(const ScanShape& shape);

/// Stream: queued on launch.stream, no host synchronisation; deterministic, no atomics.
/// Errors: InternalError on sizes that do not fit. NaN inputs give NaN outputs.
void selective_scan_forward(const ScanForward& io, const ScanShape& shape, const Launch& launch);
void selective_scan_backward(const ScanBackward& io, const ScanShape& shape, const Launch& launch);

/// One token of every row: `state` fp32 [B x D x N] is advanced in place; in.* have B rows.
/// `shape.sequence` is ignored, positions must be empty.
void selective_scan_step(const ScanInputs& in, const TokenMatrix& y, const View& state,
                         const ScanShape& shape, const Launch& launch);

}  // namespace zt::kernels
