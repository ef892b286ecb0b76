#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/unpickle.h"
#include "checkpoint/zip_file.h"

namespace zt::checkpoint {

/// A `.pt` file as torch.save writes it, read without running anything of it: the zip directory,
/// the pickle and every tensor's place are checked when it is opened; values are read by slice from
/// the mapped file. Thread-safe after construction. Errors: CheckpointError naming the file.
class TorchFile {
 public:
  explicit TorchFile(const std::string& path);

  [[nodiscard]] const std::string& path() const { return zip_.path(); }
  [[nodiscard]] PickleValue root() const { return {pickle_, pickle_.root, zip_.path() + " "}; }
  [[nodiscard]] const Pickle& pickle() const { return pickle_; }
  [[nodiscard]] TorchDType dtype(const TensorRef& tensor) const {
    return pickle_.storages[tensor.storage].dtype;
  }
  /// Where a tensor begins: equal for two names of one tensor.
  [[nodiscard]] const std::byte* first_byte(const TensorRef& tensor) const {
    return storages_[tensor.storage] + tensor.offset * size_of(dtype(tensor));
  }
  /// Elements [begin, begin + values.size()) of a tensor in row-major order, widened to fp32.
  /// Floating-point tensors only.
  void read(const TensorRef& tensor, std::int64_t begin, std::span<float> values) const;
  /// The one element of a tensor of any type.
  [[nodiscard]] double scalar(const TensorRef& tensor) const;
  /// Reads the whole file. Errors: CheckpointError when a checksum is wrong.
  void verify() const;

 private:
  void read_run(const TensorRef& tensor, std::int64_t element, std::span<float> values) const;
  void read_piece(const TensorRef& tensor, std::int64_t element, std::span<float> values) const;

  ZipFile zip_;
  std::string folder_;  ///< first part of the members' names, with the slash
  Pickle pickle_;
  std::vector<const std::byte*> storages_;  ///< first byte, by index of the pickle's storages
};

}  // namespace zt::checkpoint
