#include "kernels/decode_attention/decode_attention_impl.h"

namespace zt::kernels {

void decode_attention_cuda(const at::Tensor& /*q*/, const at::Tensor& /*k_cache*/,
                           const at::Tensor& /*v_cache*/, const DecodeLengths& /*lengths*/,
                           const at::Tensor& /*out*/, const DecodeAttentionShape& /*shape*/,
                           void* /*stream*/) {
  throw DeviceError("[kernels.decode_attention] this build has no CUDA.");
}

}  // namespace zt::kernels
