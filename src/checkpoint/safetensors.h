#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memory/view.h"

namespace zt::checkpoint {

/// One tensor of a file: little-endian, row-major values at [begin, end) behind the header.
struct TensorEntry {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t numel() const;
};

/// A memory-mapped safetensors file. The whole header is checked when it is opened: sizes,
/// bounds, overlaps, holes, duplicate names, dtypes. Source: the safetensors format description.
/// Errors: FileError naming the file and what is wrong; never reads outside of the file.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  [[nodiscard]] const std::map<std::string, TensorEntry>& tensors() const { return tensors_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Elements [begin, begin + values.size()) of a tensor, widened to fp32. fp32, bf16 and fp16
  /// only.
  void read(const std::string& name, std::int64_t begin, std::span<float> values) const;

 private:
  void parse_header();

  std::string path_;
  int file_ = -1;
  std::int64_t size_ = 0;
  const std::byte* data_ = nullptr;
  std::int64_t payload_ = 0;  ///< offset of the first value
  std::map<std::string, TensorEntry> tensors_;
};

/// Writes one file: declares all tensors first, then takes their values in that order.
/// The file has a temporary name until `finish`, which syncs and renames it.
/// Errors: FileError (no space, not writable); an unfinished file is removed.
class SafetensorsWriter {
 public:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;
  };
  SafetensorsWriter(std::string path, const std::vector<Tensor>& tensors);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// The next tensor's values, host memory, of the declared dtype and size.
  void write(const View& values);
  void finish();

 private:
  void put(const void* data, std::size_t size);

  std::string path_, temporary_;
  int file_ = -1;
  std::vector<Bytes> expected_;
  std::size_t next_ = 0;
};

}  // namespace zt::checkpoint
