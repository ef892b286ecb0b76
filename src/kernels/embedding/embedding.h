#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// y[i] = table[ids[i]]. Shapes: ids int64 [n]; table [vocab x cols]; y [n x cols].
/// Ids are within the vocabulary (the loader checks them).
void embedding_forward(const View& ids, const View& table, const View& y, std::int64_t vocab,
                       std::int64_t cols, const Launch& launch);

/// grad_table[ids[i]] += grad_y[i], in increasing i for each row, without atomics: the same bits on
/// every call. grad_table fp32 or activation dtype (the sum of a row's terms is formed in fp32,
/// rounded once). workspace int64 [embedding_workspace(n)].
void embedding_backward(const View& ids, const View& grad_y, const View& grad_table,
                        const View& workspace, std::int64_t vocab, std::int64_t cols,
                        const Launch& launch);
std::int64_t embedding_workspace(std::int64_t n);

}  // namespace zt::kernels
