#include "kernels/cast/cast.h"

#include "kernels/cast/cast_impl.h"

namespace zt::kernels {
namespace {

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

void cast_rows(const View& from, const StridedRows& rows, const View& to, const Launch& launch) {
  ZT_ASSERT(from.dtype == to.dtype || (is_float(from.dtype) && is_float(to.dtype)),
            "cast converts between fp32, bf16 and fp16");
  if (to.numel == 0) {
    return;
  }
  switch (launch.device) {
    case Device::cpu:
      return cast_strided_cpu(from, rows, to);
    case Device::cuda:
      return cast_strided_cuda(from, rows, to, launch.stream);
  }
}

}  // namespace

void cast(const View& from, const View& to, const Launch& launch) {
  ZT_ASSERT(from.numel == to.numel, "cast views differ in length");
  cast_rows(from, {0, from.numel, 1, from.numel}, to, launch);
}

void fill_zero(const View& view, const Launch& launch) {
  if (view.numel == 0) {
    return;
  }
  switch (launch.device) {
    case Device::cpu:
      return fill_zero_cpu(view);
    case Device::cuda:
      return fill_zero_cuda(view, launch.stream);
  }
}

void cast_strided(const View& from, std::int64_t begin, std::int64_t stride, std::int64_t rows,
                  std::int64_t count, const View& to, const Launch& launch) {
  ZT_ASSERT(begin >= 0 && stride >= 0 && rows >= 0 && count >= 0, "negative extent");
  ZT_ASSERT(to.numel == rows * count, "cast_strided writes [rows x count]");
  ZT_ASSERT(to.numel == 0 || begin + (rows - 1) * stride + count <= from.numel,
            "cast_strided leaves its source");
  cast_rows(from, {begin, stride, rows, count}, to, launch);
}

}  // namespace zt::kernels
