#include "kernels/embedding/embedding_impl.h"

namespace zt::kernels {

void embedding_forward_cuda(const View& /*ids*/, const View& /*table*/, const View& /*y*/,
                            std::int64_t /*vocab*/, std::int64_t /*cols*/, void* /*stream*/) {
  throw DeviceError("[kernels.embedding] this build has no CUDA.");
}
void embedding_backward_cuda(const View& /*ids*/, const View& /*grad_y*/,
                             const View& /*grad_table*/, const View& /*workspace*/,
                             std::int64_t /*vocab*/, std::int64_t /*cols*/, void* /*stream*/) {
  throw DeviceError("[kernels.embedding] this build has no CUDA.");
}

}  // namespace zt::kernels
