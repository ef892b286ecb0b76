#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "checkpoint/safetensors_header.h"

namespace zt::checkpoint {

/// An open file of named tensors whose directory was checked. Thread-safe after construction.
/// Errors: FileError naming the file.
class WeightFile {
 public:
  WeightFile() = default;
  virtual ~WeightFile() = default;
  WeightFile(const WeightFile&) = delete;
  WeightFile& operator=(const WeightFile&) = delete;

  [[nodiscard]] virtual const std::map<std::string, TensorEntry>& tensors() const = 0;
  [[nodiscard]] virtual const std::string& path() const = 0;
  /// Elements [begin, begin + values.size()) of a tensor, widened to fp32. fp32, bf16 and fp16
  /// only.
  virtual void read(const std::string& name, std::int64_t begin, std::span<float> values) const = 0;
};

}  // namespace zt::checkpoint
