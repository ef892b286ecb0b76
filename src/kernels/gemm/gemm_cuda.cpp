#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <cublas_v2.h>

#include "kernels/gemm/gemm_impl.h"

namespace zt::kernels {
namespace {

cudaDataType_t element_type(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return CUDA_R_32F;
    case at::kBFloat16:
      return CUDA_R_16BF;
    case at::kHalf:
      return CUDA_R_16F;
    default:
      throw DeviceError(std::string("[kernels.gemm] element type: got ") +
                        c10::toString(tensor.scalar_type()) + ", expected fp32, bf16 or fp16.");
  }
}

void check_cublas(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw DeviceError(std::string("[kernels.gemm] cuBLAS refused a product: got ") +
                      cublasGetStatusName(status) +
                      ", expected success. Check the shapes and free device memory.");
  }
}

/// Distance between the rows of a row-major matrix whose rows are contiguous.
int row_stride(const at::Tensor& matrix) {
  ZT_ASSERT(matrix.dim() == 2 && (matrix.size(1) <= 1 || matrix.stride(1) == 1),
            "gemm operands are row-major matrices");
  return checked_narrow<int>(matrix.size(0) <= 1 ? std::max<std::int64_t>(matrix.size(1), 1)
                                                 : matrix.stride(0));
}

/// A row-major matrix as cuBLAS, which sees columns, takes it.
struct Operand {
  const at::Tensor& matrix;
  cublasOperation_t operation;
};

/// out += (left right)^T in cuBLAS's columns, over `inner` terms, with fp32 sums that land in out's
/// dtype with one rounding; fp32 operands do not go through TF32 unless ATen was told so. The
/// handle carries ATen's current stream and workspace.
void add_product(const Operand& left, const Operand& right, std::int64_t inner,
                 const at::Tensor& out) {
  const float one = 1.0F;
  check_cublas(cublasGemmEx(at::cuda::getCurrentCUDABlasHandle(), left.operation, right.operation,
                            checked_narrow<int>(out.size(1)), checked_narrow<int>(out.size(0)),
                            checked_narrow<int>(inner), &one, left.matrix.const_data_ptr(),
                            element_type(left.matrix), row_stride(left.matrix),
                            right.matrix.const_data_ptr(), element_type(right.matrix),
                            row_stride(right.matrix), &one, out.data_ptr(), element_type(out),
                            row_stride(out), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

}  // namespace

void linear_forward_cuda(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& y) {
  const at::AutoDispatchBelowAutograd below_autograd;
  at::Tensor out = y;
  at::mm_out(out, x, weight.t());
}

void linear_forward_residual_cuda(const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& residual, const at::Tensor& y) {
  const at::AutoDispatchBelowAutograd below_autograd;
  at::Tensor out = y;
  if (x.scalar_type() == y.scalar_type()) {
    at::addmm_out(out, residual, x, weight.t());
    return;
  }
  out.copy_(residual);
  add_product({weight, CUBLAS_OP_T}, {x, CUBLAS_OP_N}, x.size(1), y);
}

void linear_backward_input_cuda(const at::Tensor& grad_y, const at::Tensor& weight,
                                const at::Tensor& grad_x, bool accumulate) {
  const at::AutoDispatchBelowAutograd below_autograd;
  at::Tensor out = grad_x;
  if (accumulate) {
    at::addmm_out(out, grad_x, grad_y, weight);
  } else {
    at::mm_out(out, grad_y, weight);
  }
}

void linear_backward_weight_cuda(const at::Tensor& grad_y, const at::Tensor& x,
                                 const at::Tensor& grad_weight) {
  ZT_ASSERT(grad_y.size(0) == x.size(0) && grad_weight.size(0) == grad_y.size(1) &&
                grad_weight.size(1) == x.size(1),
            "weight gradient shapes");
  if (x.size(0) == 0) {
    return;
  }
  // cuBLAS sees columns: the row-major [n, in] is [in, n], so this is grad_weight^T += x^T grad_y.
  add_product({x, CUBLAS_OP_N}, {grad_y, CUBLAS_OP_T}, x.size(0), grad_weight);
}

}  // namespace zt::kernels
