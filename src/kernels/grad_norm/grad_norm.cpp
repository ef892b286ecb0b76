#include "kernels/grad_norm/grad_norm.h"

#include "kernels/grad_norm/grad_norm_impl.h"

namespace zt::kernels {
namespace {

// `numel` of an fp64 view counts 8-byte words: DType has no fp64, such views carry i64.
void check_fp64(const View& view, std::int64_t numel) {
  ZT_ASSERT(size_of(view.dtype).value == 8, "fp64 views carry an 8-byte dtype");
  ZT_ASSERT(view.numel >= numel, "fp64 view is too short");
}

void check_float(const View& view) {
  ZT_ASSERT(view.dtype == DType::f32 || view.dtype == DType::bf16 || view.dtype == DType::f16,
            "sums of squares are over fp32, bf16 or fp16");
}

}  // namespace

void sum_of_squares(const View& grad, const View& out, std::int64_t index, const View& workspace,
                    const Launch& launch) {
  check_float(grad);
  ZT_ASSERT(index >= 0, "negative index");
  check_fp64(out, index + 1);
  switch (launch.device) {
    case Device::cpu:
      return sum_of_squares_cpu(grad, out, index, launch.pool);
    case Device::cuda:
      ZT_ASSERT(workspace.dtype == DType::f32 &&
                    workspace.numel >= round_up(grad.numel, kNormChunk) / kNormChunk,
                "sum_of_squares workspace is fp32 [ceil(numel / 1024)]");
      return sum_of_squares_cuda(grad, out, index, workspace, launch.stream);
  }
}

void clip_factor(const View& partials, double max_norm, const View& inverse_scale,
                 const View& result, const View& grad_factor, const Launch& launch) {
  check_fp64(partials, 0);
  check_fp64(inverse_scale, 1);
  check_fp64(result, 2);
  ZT_ASSERT(grad_factor.dtype == DType::f32 && grad_factor.numel == 1, "grad_factor is one fp32");
  switch (launch.device) {
    case Device::cpu:
      return clip_factor_cpu(partials, max_norm, inverse_scale, result, grad_factor);
    case Device::cuda:
      return clip_factor_cuda(partials, max_norm, inverse_scale, result, grad_factor,
                              launch.stream);
  }
}

}  // namespace zt::kernels
