#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/file_io.h"
#include "checkpoint/safetensors_header.h"
#include "checkpoint/weight_file.h"
#include "memory/view.h"

namespace zt::checkpoint {

/// An open safetensors file. The whole header is checked when it is opened; values are read with
/// pread, so that nothing of the file stays in this process's memory. Thread-safe.
/// Errors: FileError naming the file and what is wrong; never reads outside of the file.
class SafetensorsFile final : public WeightFile {
 public:
  explicit SafetensorsFile(const std::string& path);

  [[nodiscard]] const std::map<std::string, TensorEntry>& tensors() const override {
    return tensors_;
  }
  [[nodiscard]] const std::string& path() const override { return file_.path(); }
  void read(const std::string& name, std::int64_t begin, std::span<float> values) const override;
  /// The bytes of elements [begin, ...) as they lie in the file, of a tensor of `tensors()`.
  void read_bytes(const TensorEntry& entry, std::int64_t begin, std::span<std::byte> bytes) const;

 private:
  File file_;
  std::int64_t payload_ = 0;  ///< offset of the first value
  std::map<std::string, TensorEntry> tensors_;
};

/// Writes one file: declares all tensors first, then takes their values in that order.
/// The file has a temporary name until `finish`, which syncs and renames it.
/// Errors: FileError (no space, not writable); an unfinished file is removed.
class SafetensorsWriter {
 public:
  using Tensor = TensorDeclaration;
  SafetensorsWriter(std::string path, const std::vector<Tensor>& tensors);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// The next tensor's values, host memory, of the declared dtype and size.
  void write(const View& values);
  /// A part of the next tensor; its parts come in order.
  void write_part(const View& values);
  void finish();

 private:
  void put(std::span<const std::byte> bytes);

  std::string path_, temporary_;
  File file_;
  std::int64_t position_ = 0;
  std::vector<Bytes> left_;  ///< of each tensor
  std::size_t next_ = 0;
};

}  // namespace zt::checkpoint
