#pragma once

#include "kernels/embedding/embedding.h"

namespace zt::kernels {

void embedding_forward_cpu(const View& ids, const View& table, const View& y, std::int64_t cols);
void embedding_backward_cpu(const View& ids, const View& grad_y, const View& grad_table,
                            const View& workspace, std::int64_t cols);
void embedding_forward_cuda(const View& ids, const View& table, const View& y, std::int64_t vocab,
                            std::int64_t cols, void* stream);
void embedding_backward_cuda(const View& ids, const View& grad_y, const View& grad_table,
                             const View& workspace, std::int64_t vocab, std::int64_t cols,
                             void* stream);

}  // namespace zt::kernels
