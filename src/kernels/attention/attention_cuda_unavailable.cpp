#include "kernels/attention/attention_impl.h"

namespace zt::kernels {

void attention_forward_cuda(const at::Tensor& /*q*/, const at::Tensor& /*k*/,
                            const at::Tensor& /*v*/, const at::Tensor& /*cu_seqlens*/,
                            const at::Tensor& /*out*/, const at::Tensor& /*log_sum_exp*/,
                            const AttentionShape& /*shape*/, bool /*deterministic*/,
                            void* /*stream*/) {
  throw DeviceError("[kernels.attention] this build has no CUDA.");
}
AttentionGrads attention_backward_cuda(const AttentionBackward& /*io*/,
                                       const AttentionShape& /*shape*/, bool /*deterministic*/,
                                       void* /*stream*/) {
  throw DeviceError("[kernels.attention] this build has no CUDA.");
}

}  // namespace zt::kernels
