#include "kernels/rms_norm/rms_norm.h"

#include <algorithm>

#include "kernels/rms_norm/rms_norm_impl.h"

namespace zt::kernels {
namespace {

void check(const View& view, std::int64_t numel, DType dtype) {
  ZT_ASSERT(view.numel == numel && view.dtype == dtype, "rms_norm view of a wrong size or dtype");
}

/// The norm's two dtypes: of the weight and what is multiplied by it, and of x.
void check_dtypes(const View& x, const View& weight) {
  ZT_ASSERT(x.dtype == weight.dtype || x.dtype == DType::f32,
            "rms_norm takes x in the dtype of its weight or in fp32");
}

}  // namespace

std::int64_t rms_norm_workspace(const RmsNormShape& shape) {
  // Short rows need more blocks to fill a GPU: 2 (264 on an H200) to 8 per multiprocessor.
  constexpr std::int64_t kGpuElements = 1 << 21;
  const auto gpu =
      std::clamp<std::int64_t>(kGpuElements / std::max<std::int64_t>(shape.cols, 1), 264, 1024);
  const auto cpu = (shape.rows + kRmsNormRowsPerPartial - 1) / kRmsNormRowsPerPartial;
  return std::max(cpu, std::min(shape.rows, gpu)) * shape.cols;
}

void rms_norm_forward(const RmsNormForward& io, const RmsNormShape& shape, const Launch& launch) {
  const auto numel = shape.rows * shape.cols;
  check_dtypes(io.x, io.weight);
  check(io.x, numel, io.x.dtype);
  check(io.y, numel, io.weight.dtype);
  check(io.weight, shape.cols, io.weight.dtype);
  if (io.residual.numel > 0) {
    check(io.residual, numel, io.x.dtype);
    check(io.sum, numel, io.x.dtype);
  }
  if (io.rstd.numel > 0) check(io.rstd, shape.rows, DType::f32);
  if (numel == 0) return;
  switch (launch.device) {
    case Device::cpu:
      return rms_norm_forward_cpu(io, shape);
    case Device::cuda:
      return rms_norm_forward_cuda(io, shape, launch.stream);
  }
}

void rms_norm_backward(const RmsNormBackward& io, const RmsNormShape& shape, const Launch& launch) {
  const auto numel = shape.rows * shape.cols;
  check_dtypes(io.x, io.weight);
  check(io.x, numel, io.x.dtype);
  check(io.grad_y, numel, io.weight.dtype);
  check(io.grad_x, numel, io.x.dtype);
  check(io.weight, shape.cols, io.weight.dtype);
  check(io.rstd, shape.rows, DType::f32);
  if (io.grad_residual.numel > 0) check(io.grad_residual, numel, io.x.dtype);
  ZT_ASSERT(io.grad_weight.numel == shape.cols, "rms_norm weight gradient of a wrong size");
  ZT_ASSERT(io.workspace.dtype == DType::f32 && io.workspace.numel >= rms_norm_workspace(shape),
            "rms_norm workspace is too small");
  if (numel == 0) return;
  switch (launch.device) {
    case Device::cpu:
      return rms_norm_backward_cpu(io, shape);
    case Device::cuda:
      return rms_norm_backward_cuda(io, shape, launch.stream);
  }
}

}  // namespace zt::kernels
