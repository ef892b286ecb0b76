#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/torch_file.h"
#include "layout/training_state.h"

namespace zt::checkpoint {

/// Elements [begin, begin + length) of a parameter lie in a tensor from `tensor_begin` on.
struct StatePiece {
  std::int64_t begin = 0, length = 0;
  const TorchFile* file = nullptr;
  const TensorRef* tensor = nullptr;
  std::int64_t tensor_begin = 0;
};

/// Which tensor pieces make up every parameter's values of every kind.
class StatePieces {
 public:
  /// Errors: CheckpointError when the name is there already with another shape.
  void declare(const std::string& name, const std::vector<std::int64_t>& shape);
  [[nodiscard]] bool knows(const std::string& name) const { return params_.count(name) != 0; }
  [[nodiscard]] const std::vector<std::int64_t>& shape(const std::string& name) const;
  /// Adds the next piece of a parameter: pieces come in the order of the elements.
  /// Errors: CheckpointError when it lies outside of its tensor or of the parameter.
  void append(layout::StateKind kind, const std::string& name, std::int64_t length,
              const TorchFile& file, const TensorRef& tensor, std::int64_t tensor_begin);
  /// Errors: CheckpointError when a parameter's pieces do not make up all of it.
  void check_complete(layout::StateKind kind) const;
  [[nodiscard]] bool has(layout::StateKind kind, const std::string& name) const;
  [[nodiscard]] bool has(layout::StateKind kind) const;
  /// Errors: CheckpointError when the parameter or the kind is not there.
  void read(layout::StateKind kind, const std::string& name, std::int64_t begin,
            std::span<float> values) const;
  /// Names in the order of their declaration.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  struct Param {
    std::vector<std::int64_t> shape;
    std::int64_t numel = 0;
    std::array<std::vector<StatePiece>, 4> pieces;  ///< by StateKind
  };
  [[nodiscard]] const Param& at(const std::string& name) const;

  std::map<std::string, Param> params_;
  std::vector<std::string> names_;
};

}  // namespace zt::checkpoint
