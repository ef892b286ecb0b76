#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/machine_rates.h"

namespace zt::plan {

/// Seconds of one linear layer's three products: x [rows, in], weight [out, in]. The weight's
/// gradient is added to an fp32 or to a 16-bit buffer.
struct GemmTime {
  std::int64_t rows = 0, in = 0, out = 0;
  double forward = 0, grad_input = 0, grad_weight = 0, grad_weight_half = 0;
};

/// Seconds of causal attention.
struct AttentionTime {
  std::int64_t batch = 0, sequence = 0, q_heads = 0, kv_heads = 0, head_dim = 0;
  bool deterministic = false;
  double forward = 0, backward = 0;
};

/// Seconds of a kernel (plan/kernel_work.h) that reads and writes `bytes`; rows are `width`
/// elements long, 0 for flat buffers.
struct KernelTime {
  std::string name;
  std::int64_t width = 0;
  double bytes = 0, seconds = 0;
};

/// What a collective beside products costs, for products of `rows` rows.
struct OverlapTime {
  std::int64_t rows = 0;
  double compute_lost = 0;  ///< seconds of compute lost per second of communication beside it
  double link_factor = 1;   ///< how much longer the communication takes
};

/// What `zt bench --calibrate` measured on one kind of device, in bf16.
struct DeviceFile {
  std::string device;
  int world = 1;  ///< ranks that measured the link
  std::vector<GemmTime> gemms;
  std::vector<AttentionTime> attention;
  std::vector<KernelTime> kernels;
  std::vector<OverlapTime> overlaps;  ///< empty: one rank
  double gather_rate = 0;    ///< bytes/s that a rank sends in a large all-gather; 0: one rank
  double exchange_rate = 0;  ///< the same of an all-to-all
  double link_latency = 0;   ///< seconds of a small collective
  OffloadRates host;         ///< of one rank; 0: not measured
};

/// Errors: FileError when the file is missing, not JSON, or lacks a value.
[[nodiscard]] DeviceFile read_device_file(const std::string& path);
/// Replaces the file. Errors: FileError.
void write_device_file(const std::string& path, const DeviceFile& device);

}  // namespace zt::plan
