#include "kernels/embedding/embedding.h"

#include "kernels/embedding/embedding_impl.h"

namespace zt::kernels {

std::int64_t embedding_workspace(std::int64_t n) {
  constexpr std::int64_t kSortTemporary = 1 << 17;  // the GPU's radix sort keeps histograms
  return 4 * n + kSortTemporary;
}

void embedding_forward(const View& ids, const View& table, const View& y, std::int64_t vocab,
                       std::int64_t cols, const Launch& launch) {
  ZT_ASSERT(ids.dtype == DType::i64 && table.numel == vocab * cols && y.numel == ids.numel * cols &&
                table.dtype == y.dtype,
            "embedding views of wrong sizes or dtypes");
  if (y.numel == 0) return;
  switch (launch.device) {
    case Device::cpu:
      return embedding_forward_cpu(ids, table, y, cols);
    case Device::cuda:
      return embedding_forward_cuda(ids, table, y, vocab, cols, launch.stream);
  }
}

void embedding_backward(const View& ids, const View& grad_y, const View& grad_table,
                        const View& workspace, std::int64_t vocab, std::int64_t cols,
                        const Launch& launch) {
  ZT_ASSERT(ids.dtype == DType::i64 && grad_table.numel == vocab * cols &&
                grad_y.numel == ids.numel * cols && workspace.dtype == DType::i64 &&
                workspace.numel >= embedding_workspace(ids.numel),
            "embedding views of wrong sizes or dtypes");
  if (grad_y.numel == 0) return;
  switch (launch.device) {
    case Device::cpu:
      return embedding_backward_cpu(ids, grad_y, grad_table, workspace, cols);
    case Device::cuda:
      return embedding_backward_cuda(ids, grad_y, grad_table, workspace, vocab, cols,
                                     launch.stream);
  }
}

}  // namespace zt::kernels
