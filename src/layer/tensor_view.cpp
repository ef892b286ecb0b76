#include "layer/tensor_view.h"

#include <ATen/ops/from_blob.h>

#include "memory/torch_dtype.h"

namespace zt::layer {

View view_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  ZT_ASSERT(tensor.is_contiguous(), "a view needs a contiguous tensor");
  // fp64 views carry the 8-byte dtype
  const auto dtype =
      tensor.scalar_type() == at::kDouble ? DType::i64 : memory::dtype_of(tensor.scalar_type());
  return {tensor.data_ptr(), tensor.numel(), dtype};
}

at::Tensor fused_rows(const at::Tensor& like, std::int64_t rows) {
  return at::from_blob(like.data_ptr(), {rows, like.size(1)}, like.options());
}

}  // namespace zt::layer
