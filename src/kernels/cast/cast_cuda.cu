#include "kernels/cast/cast_impl.h"
#include "kernels/cuda_common.cuh"

namespace zt::kernels {
namespace {

constexpr int kThreads = 256;
constexpr std::size_t kMaxPitch = 0x7fffffff;  ///< largest row distance of a 2D copy

/// Grid: x strides over the elements of a row (kCount per thread and turn), y over the rows.
template <typename From, typename To, int kCount>
__global__ void cast_rows_kernel(const From* from, StridedRows rows, To* to) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x * kCount;
  for (std::int64_t row = blockIdx.y; row < rows.rows; row += gridDim.y) {
    const From* source = from + rows.begin + row * rows.stride;
    To* target = to + row * rows.count;
    std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kCount;
    for (; i + kCount <= rows.count; i += step) {
      const auto in = load_pack<From, kCount>(source + i);
      Pack<To, kCount> out;
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        out.at[j] = from_float<To>(to_float(in.at[j]));
      }
      store_pack(target + i, out);
    }
    for (; i < rows.count; ++i) {  // at most one thread stands before the tail
      target[i] = from_float<To>(to_float(source[i]));
    }
  }
}

template <typename From, typename To>
void convert(const View& from, const StridedRows& rows, const View& to, void* stream) {
  // 8 elements: 16 bytes on the 16-bit side, two 16-byte accesses on the fp32 side.
  constexpr int kCount = sizeof(From) == 4 && sizeof(To) == 4 ? 4 : 8;
  const From* source = from.as<From>();
  const bool whole = rows.rows == 1 || (rows.stride % kCount == 0 && rows.count % kCount == 0);
  const bool packed =
      whole &&
      reinterpret_cast<std::uintptr_t>(source + rows.begin) % alignof(Pack<From, kCount>) == 0 &&
      reinterpret_cast<std::uintptr_t>(to.data) % alignof(Pack<To, kCount>) == 0;
  const std::int64_t per_thread = packed ? kCount : 1;
  const dim3 grid(grid_for(ceil_div(rows.count, per_thread), kThreads),
                  static_cast<unsigned>(rows.rows < 65535 ? rows.rows : 65535));
  launch_kernel("cast", packed ? cast_rows_kernel<From, To, kCount> : cast_rows_kernel<From, To, 1>,
                grid, dim3(kThreads), 0, stream, source, rows, to.as<To>());
}

}  // namespace

void cast_strided_cuda(const View& from, const StridedRows& rows, const View& to, void* stream) {
  if (from.dtype == to.dtype) {
    const auto width = static_cast<std::size_t>(size_of(from.dtype).value);
    const std::byte* source = from.as<std::byte>() + rows.begin * size_of(from.dtype).value;
    const std::size_t row_bytes = static_cast<std::size_t>(rows.count) * width;
    const std::size_t pitch = static_cast<std::size_t>(rows.stride) * width;
    auto* queue = static_cast<cudaStream_t>(stream);
    if (rows.rows == 1) {
      check_cuda(cudaMemcpyAsync(to.data, source, row_bytes, cudaMemcpyDeviceToDevice, queue),
                 "cast");
      return;
    }
    if (pitch >= row_bytes && pitch <= kMaxPitch) {
      check_cuda(
          cudaMemcpy2DAsync(to.data, row_bytes, source, pitch, row_bytes,
                            static_cast<std::size_t>(rows.rows), cudaMemcpyDeviceToDevice, queue),
          "cast");
      return;
    }
    for (std::int64_t row = 0; row < rows.rows; ++row) {  // overlapping or far apart
      check_cuda(cudaMemcpyAsync(to.as<std::byte>() + static_cast<std::size_t>(row) * row_bytes,
                                 source + static_cast<std::size_t>(row) * pitch, row_bytes,
                                 cudaMemcpyDeviceToDevice, queue),
                 "cast");
    }
    return;
  }
  dispatch_float(from.dtype, "cast", [&](auto from_tag) {
    dispatch_float(to.dtype, "cast", [&](auto to_tag) {
      using From = typename decltype(from_tag)::Type;
      using To = typename decltype(to_tag)::Type;
      if constexpr (!std::is_same_v<From, To>) {
        convert<From, To>(from, rows, to, stream);
      }
    });
  });
}

void fill_zero_cuda(const View& view, void* stream) {
  check_cuda(cudaMemsetAsync(view.data, 0, static_cast<std::size_t>(view.bytes().value),
                             static_cast<cudaStream_t>(stream)),
             "fill_zero");
}

}  // namespace zt::kernels
