#include <algorithm>
#include <numeric>

#include "kernels/cpu/rows.h"
#include "kernels/embedding/embedding_impl.h"

namespace zt::kernels {
namespace {

using cpu::from_float;
using cpu::to_float;

constexpr std::int64_t kRowChunk = 32;

template <typename T>
struct ForwardRows {
  View ids, table, y;
  std::int64_t cols;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* row = table.as<T>() + ids.as<std::int64_t>()[i] * cols;
      std::copy(row, row + cols, y.as<T>() + i * cols);
    }
  }
};

/// Adds a slice of columns of every row of the gradient, in the order of the positions.
template <typename T, typename G>
struct BackwardColumns {
  View ids, grad_y, grad_table;
  const std::int64_t* order;  ///< positions, sorted by id, equal ids in increasing position
  std::int64_t cols;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    const auto* id = ids.as<std::int64_t>();
    const auto count = ids.numel;
    for (std::int64_t first = 0; first < count;) {
      std::int64_t last = first;
      while (last < count && id[order[last]] == id[order[first]]) ++last;
      G* target = grad_table.as<G>() + id[order[first]] * cols;
      for (std::int64_t c = begin; c < end; ++c) {
        float sum = 0;
        for (std::int64_t i = first; i < last; ++i)
          sum += to_float(grad_y.as<T>()[order[i] * cols + c]);
        target[c] = from_float<G>(to_float(target[c]) + sum);
      }
      first = last;
    }
  }
};

}  // namespace

void embedding_forward_cpu(const View& ids, const View& table, const View& y, std::int64_t cols) {
  cpu::with_activation(y.dtype, [&]<typename T>() {
    cpu::row_loop(ForwardRows<T>{ids, table, y, cols}, ids.numel, kRowChunk);
  });
}

void embedding_backward_cpu(const View& ids, const View& grad_y, const View& grad_table,
                            const View& workspace, std::int64_t cols) {
  auto* order = workspace.as<std::int64_t>();
  std::iota(order, order + ids.numel, std::int64_t{0});
  const auto* id = ids.as<std::int64_t>();
  std::sort(order, order + ids.numel, [id](std::int64_t a, std::int64_t b) {
    return id[a] != id[b] ? id[a] < id[b] : a < b;
  });
  cpu::with_activation(grad_y.dtype, [&]<typename T>() {
    cpu::with_activation(grad_table.dtype, [&]<typename G>() {
      cpu::row_loop(BackwardColumns<T, G>{ids, grad_y, grad_table, order, cols}, cols, 64);
    });
  });
}

}  // namespace zt::kernels
