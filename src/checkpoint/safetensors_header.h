#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace zt::checkpoint {

/// One tensor of a file: little-endian, row-major values at [begin, end) behind the header.
struct TensorEntry {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t numel() const;
};

/// A tensor to be written.
struct TensorDeclaration {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
};

inline constexpr std::int64_t kSafetensorsPrefix = 8;  ///< bytes of the header's length
inline constexpr std::int64_t kSafetensorsMaxHeader = 100'000'000;

/// The JSON part of a header, checked as a whole: sizes, bounds, overlaps, holes, duplicate names,
/// dtypes. `payload`: bytes of the file behind the header. Source: the safetensors format
/// description. Errors: FileError naming `path` and what is wrong.
[[nodiscard]] std::map<std::string, TensorEntry> parse_safetensors_header(const std::string& path,
                                                                          std::string_view json,
                                                                          std::int64_t payload);
/// Length and JSON for tensors that lie one behind the other in this order, padded with spaces to a
/// multiple of 8 bytes.
[[nodiscard]] std::string make_safetensors_header(const std::vector<TensorDeclaration>& tensors);

}  // namespace zt::checkpoint
