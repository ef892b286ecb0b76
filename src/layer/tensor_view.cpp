#include "layer/tensor_view.h"

#include <ATen/ops/from_blob.h>

namespace zt::layer {
namespace {

DType dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return DType::f32;
    case at::kBFloat16:
      return DType::bf16;
    case at::kHalf:
      return DType::f16;
    case at::kLong:
    case at::kDouble:
      return DType::i64;  // fp64 views carry the 8-byte dtype
    case at::kInt:
      return DType::i32;
    case at::kByte:
      return DType::u8;
    default:
      break;
  }
  throw_assertion(__FILE__, __LINE__, "known dtype", "tensor of an unsupported dtype");
}

}  // namespace

View view_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  ZT_ASSERT(tensor.is_contiguous(), "a view needs a contiguous tensor");
  return {tensor.data_ptr(), tensor.numel(), dtype_of(tensor)};
}

at::Tensor fused_rows(const at::Tensor& like, std::int64_t rows) {
  return at::from_blob(like.data_ptr(), {rows, like.size(1)}, like.options());
}

}  // namespace zt::layer
