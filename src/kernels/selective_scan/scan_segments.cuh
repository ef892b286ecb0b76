#pragma once

#include "kernels/selective_scan/selective_scan_impl.h"

namespace zt::kernels::scan {

/// Where segments hand states on: `carries` fp32 [B x segments x D x N], `steps` fp32 [B x segments
/// x D]: the sum of delta of a segment, or -1 where a document starts in it. See ScanPlan.
struct Handover {
  float* carries = nullptr;
  float* steps = nullptr;
};

/// Fills `to.carries` with the state before each segment; `initial` [B x D x N] may be empty.
/// Stream: two kernels on `stream`; deterministic.
void carry_states(const ScanInputs& in, const View& initial, const ScanShape& shape,
                  const Handover& to, void* stream);
/// Fills `to.carries` with the gradient that reaches the last state of each segment from later
/// ones. Stream: two kernels on `stream`; deterministic.
void carry_adjoints(const ScanInputs& in, const TokenMatrix& grad_y, const ScanShape& shape,
                    const Handover& to, void* stream);

}  // namespace zt::kernels::scan
