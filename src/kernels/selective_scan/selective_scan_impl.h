#pragma once

#include <algorithm>

#include "kernels/selective_scan/selective_scan.h"

namespace zt::kernels {

/// How the work is cut; depends on the shape only, so that results do not depend on the device's
/// size or the number of threads.
struct ScanPlan {
  std::int64_t lanes = 0;           ///< GPU lanes that share a channel, 4 or (N > 16) 8 states each
  std::int64_t block_channels = 0;  ///< channels whose share of grad_b, grad_c is summed together
  std::int64_t blocks = 0;          ///< ceil(D / block_channels)
  std::int64_t chunks = 0;          ///< ceil(T / kScanChunk)
  std::int64_t segments = 1;        ///< parts of the sequence that a GPU scans side by side
  std::int64_t segment_chunks = 0;  ///< chunks of a segment; the last segment may have fewer
};
ScanPlan scan_plan(const ScanShape& shape);

/// The backward's workspace, in fp32 elements from its start.
struct ScanScratch {
  std::int64_t token_sums = 0;    ///< [blocks x B*T x 2N]: shares of grad_b and grad_c
  std::int64_t channel_sums = 0;  ///< [B*segments x D*(N + 2)]: grad_a_log, then skip, then bias
  std::int64_t carries = 0;       ///< [B x segments x D x N]: the adjoint after each segment
  std::int64_t steps = 0;         ///< [B x segments x D]: sums of delta, or -1 with a restart
  std::int64_t total = 0;
};
ScanScratch scan_scratch(const ScanShape& shape);

void selective_scan_forward_cpu(const ScanForward& io, const ScanShape& shape);
void selective_scan_backward_cpu(const ScanBackward& io, const ScanShape& shape);
void selective_scan_forward_cuda(const ScanForward& io, const ScanShape& shape, void* stream);
void selective_scan_backward_cuda(const ScanBackward& io, const ScanShape& shape, void* stream);

}  // namespace zt::kernels
