#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/weight_file.h"
#include "layout/layout.h"

namespace zt::checkpoint {

/// The tensors of one file, or of the shards that its index (`<file>.index.json`) names; the single
/// file wins, as in transformers. Thread-safe after construction. Errors: FileError.
class TensorSet {
 public:
  /// Of `<folder>/<stem>.safetensors`.
  TensorSet(const std::string& folder, const std::string& stem);
  /// A Hugging Face folder's: of model.safetensors, or of pytorch_model.bin when there is neither
  /// that file nor its index.
  [[nodiscard]] static TensorSet weights(const std::string& folder);
  [[nodiscard]] static bool has_weights(const std::string& folder);
  /// True when there is a single file or an index.
  [[nodiscard]] static bool exists(const std::string& folder, const std::string& stem);

  struct Place {
    const WeightFile* file = nullptr;
    const TensorEntry* entry = nullptr;
  };
  /// By name.
  [[nodiscard]] const std::map<std::string, Place>& tensors() const { return where_; }
  /// Nothing when the set has no such tensor.
  [[nodiscard]] const Place* find(const std::string& name) const;
  /// The 16-bit dtype of the tensors when any has one, else fp32.
  [[nodiscard]] DType weight_dtype() const;
  /// Names and shapes of all tensors; keep_fp32 as their model declares it.
  [[nodiscard]] std::vector<layout::ParamSpec> specs() const;

 private:
  explicit TensorSet(const std::string& file);

  std::vector<std::unique_ptr<WeightFile>> files_;
  std::map<std::string, Place> where_;
};

/// `[3, 4]`.
[[nodiscard]] std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace zt::checkpoint
