#pragma once

#include <ATen/core/Tensor.h>

#include "memory/view.h"

namespace zt::layer {

/// The elements of a contiguous tensor; an empty view for an undefined one.
/// Errors: InternalError when the tensor is not contiguous or of a dtype without a DType.
View view_of(const at::Tensor& tensor);

/// `rows` rows of `like`'s width that begin at its first element: parameters that lie next to each
/// other in their unit (layout::ParamSpec::adjacent), seen as one matrix.
at::Tensor fused_rows(const at::Tensor& like, std::int64_t rows);

}  // namespace zt::layer
