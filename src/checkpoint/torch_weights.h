#pragma once

#include <map>
#include <string>

#include "checkpoint/torch_file.h"
#include "checkpoint/weight_file.h"

namespace zt::checkpoint {

/// A state_dict that torch.save wrote (pytorch_model.bin): a dict of tensors, read as TorchFile
/// reads, without running anything of it. Errors: CheckpointError naming the file.
class TorchWeights final : public WeightFile {
 public:
  explicit TorchWeights(const std::string& path);
  [[nodiscard]] const std::map<std::string, TensorEntry>& tensors() const override {
    return tensors_;
  }
  [[nodiscard]] const std::string& path() const override { return file_.path(); }
  void read(const std::string& name, std::int64_t begin, std::span<float> values) const override;

 private:
  TorchFile file_;
  std::map<std::string, TensorEntry> tensors_;
  std::map<std::string, TensorRef> places_;
};

}  // namespace zt::checkpoint
