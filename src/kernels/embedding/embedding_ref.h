#pragma once

#include <cstddef>
#include <vector>

namespace zt::kernels::reference {

/// Adds each row of grad to the table's row of its id, in fp64 and in order.
inline void embedding_backward(const std::vector<double>& ids, const std::vector<double>& grad,
                               std::size_t cols, std::vector<double>& table) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::size_t c = 0; c < cols; ++c)
      table[static_cast<std::size_t>(ids[i]) * cols + c] += grad[i * cols + c];
  }
}

}  // namespace zt::kernels::reference
