#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/units.h"
#include "bench/shares.h"

namespace zt::bench {

/// What ran.
struct RowSetup {
  std::string model, device;
  int world = 1, stage = 0;
  std::int64_t sequence = 0, micro_batch = 0, accumulation = 0, coalesce = 1;
  std::string recompute, reduce_at, reduce, compute, grads, wire;
  bool retain = false, deterministic = false, graphs = false;
};

/// The prediction of a step from a device file, in seconds.
struct Predicted {
  double gemm = 0, attention = 0, kernels = 0;
  double slowed = 0;                     ///< compute, beside communication
  double exposed = 0;                    ///< communication that nothing hides
  std::map<std::string, double> groups;  ///< operations of a kind together, each alone
  [[nodiscard]] double total() const { return gemm + attention + kernels + slowed + exposed; }
};

/// What was measured.
struct RowResult {
  std::vector<double> seconds;  ///< of each measured step
  double tokens_per_rank = 0;   ///< per step
  double flops_per_token = 0;
  double first_loss = 0, last_loss = 0;
  Bytes arena, library, planned, used;
  Bytes planned_host;            ///< of this rank, with offload
  std::int64_t allocations = 0;  ///< of ATen at the driver after step 2
  Predicted predicted;           ///< all 0: no device file
  double ceiling = 0;            ///< seconds of a step's GEMMs and attention alone; 0: not measured
  double ceiling_gemm = 0, ceiling_attention = 0;
  Busy busy;                             ///< of a measured step; length 0: none
  std::map<std::string, double> groups;  ///< of that step: seconds of operations of a kind together
};

[[nodiscard]] double median(std::vector<double> values);

/// Dense bf16 rate of an H100 or H200 that MFU is counted against, FLOP/s.
inline constexpr double kPeakFlops = 989.4e12;

/// One JSON object, without a line end.
[[nodiscard]] std::string json_row(const RowSetup& setup, const RowResult& result);
/// A few lines for people.
[[nodiscard]] std::string text_row(const RowSetup& setup, const RowResult& result);

}  // namespace zt::bench
