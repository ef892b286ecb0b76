#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zt::plan {

/// Seconds of one linear layer's three products: x [rows, in], weight [out, in].
struct GemmTime {
  std::int64_t rows = 0, in = 0, out = 0;
  double forward = 0, grad_input = 0, grad_weight = 0;
};

/// Seconds of causal attention.
struct AttentionTime {
  std::int64_t batch = 0, sequence = 0, q_heads = 0, kv_heads = 0, head_dim = 0;
  double forward = 0, backward = 0;
};

/// What `zt bench --calibrate` measured on one kind of device, in bf16.
struct DeviceFile {
  std::string device;
  int world = 1;  ///< ranks that measured the link
  std::vector<GemmTime> gemms;
  std::vector<AttentionTime> attention;
  double row_rate = 0;      ///< bytes/s, read and written, of kernels over rows of activations
  double flat_rate = 0;     ///< bytes/s of kernels over flat buffers (AdamW)
  double kernel_gap = 0;    ///< seconds that a small kernel takes inside of a graph
  double link_rate = 0;     ///< bytes/s that a rank sends in large collectives; 0: one rank
  double link_latency = 0;  ///< seconds of a small collective
};

/// Errors: FileError when the file is missing, not JSON, or lacks a value.
[[nodiscard]] DeviceFile read_device_file(const std::string& path);
/// Replaces the file. Errors: FileError.
void write_device_file(const std::string& path, const DeviceFile& device);

}  // namespace zt::plan
