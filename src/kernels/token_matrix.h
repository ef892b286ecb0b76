#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// A [tokens x columns] operand that may lie inside a wider matrix: token r starts `r * stride`
/// elements after view.data. Stride 0 means that rows follow each other. An empty view stands for
/// an operand that is absent.
struct TokenMatrix {
  View view;
  std::int64_t stride = 0;

  [[nodiscard]] bool empty() const { return view.numel == 0; }
  [[nodiscard]] std::int64_t stride_of(std::int64_t columns) const {
    return stride == 0 ? columns : stride;
  }
  /// True when all of [tokens x columns] lies inside the view.
  [[nodiscard]] bool holds(std::int64_t tokens, std::int64_t columns) const {
    return tokens == 0 || columns == 0 ||
           (stride_of(columns) >= columns &&
            (tokens - 1) * stride_of(columns) + columns <= view.numel);
  }
};

/// Columns from `first` on of a packed [tokens x width] matrix.
inline TokenMatrix columns_of(const View& matrix, std::int64_t width, std::int64_t first) {
  return {matrix.slice(first, matrix.numel - first), width};
}

}  // namespace zt::kernels
