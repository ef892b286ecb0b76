#pragma once

#include "kernels/cast/cast.h"

namespace zt::kernels {

/// Rows of equal length: row k is from[begin + k * stride, + count) and goes to to[k * count, +
/// count). A contiguous cast is one row.
struct StridedRows {
  std::int64_t begin = 0, stride = 0, rows = 1, count = 0;
};

/// Launchers; arguments were checked by the functions of cast.h. fp32, bf16 and fp16 in any
/// combination, through fp32, nearest even; NaN becomes 0x7fff in 16 bits when the dtypes differ.
/// Equal dtypes (any) copy the bytes.
void cast_strided_cpu(const View& from, const StridedRows& rows, const View& to);
void cast_strided_cuda(const View& from, const StridedRows& rows, const View& to, void* stream);
void fill_zero_cpu(const View& view);
void fill_zero_cuda(const View& view, void* stream);

}  // namespace zt::kernels
