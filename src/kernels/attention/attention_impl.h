#pragma once

#include "kernels/attention/attention.h"

namespace zt::kernels {

void attention_forward_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& cu_seqlens, const at::Tensor& out,
                           const at::Tensor& log_sum_exp, const AttentionShape& shape);
void attention_backward_cpu(const AttentionBackward& io, const AttentionShape& shape);
void attention_forward_cuda(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& cu_seqlens, const at::Tensor& out,
                            const at::Tensor& log_sum_exp, const AttentionShape& shape,
                            bool deterministic, void* stream);
AttentionGrads attention_backward_cuda(const AttentionBackward& io, const AttentionShape& shape,
                                       bool deterministic, void* stream);

}  // namespace zt::kernels
