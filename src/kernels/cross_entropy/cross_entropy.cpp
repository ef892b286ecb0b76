#include "kernels/cross_entropy/cross_entropy.h"

#include "kernels/cross_entropy/cross_entropy_impl.h"

namespace zt::kernels {

void cross_entropy(const CrossEntropy& io, std::int64_t rows, std::int64_t vocab, double scale,
                   const Launch& launch) {
  ZT_ASSERT(io.logits.numel == rows * vocab && io.targets.numel == rows &&
                io.targets.dtype == DType::i64 && io.row_loss.numel >= rows &&
                io.row_loss.dtype == DType::f32 && size_of(io.loss_sum.dtype).value == 8,
            "cross_entropy views of wrong sizes or dtypes");
  ZT_ASSERT(io.grad.numel == 0 || io.grad.numel == io.logits.numel, "cross_entropy gradient size");
  ZT_ASSERT(io.scale.numel == 0 || (io.scale.numel == 1 && io.scale.dtype == DType::f32),
            "cross_entropy scale is one fp32");
  if (rows == 0) return;
  switch (launch.device) {
    case Device::cpu:
      return cross_entropy_cpu(io, rows, vocab, scale);
    case Device::cuda:
      return cross_entropy_cuda(io, rows, vocab, scale, launch.stream);
  }
}

}  // namespace zt::kernels
