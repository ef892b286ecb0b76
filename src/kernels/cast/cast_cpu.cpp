#include <cstring>

#include "kernels/cast/cast_impl.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/simd_loop.h"

namespace zt::kernels {
namespace {

template <typename From, typename To>
struct CastLoop {
  const From* from;
  To* to;

  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    const From* __restrict source = from;
    To* __restrict target = to;
    for (std::int64_t i = begin; i < end; ++i) {
      target[i] = cpu::from_float<To>(cpu::to_float(source[i]));
    }
  }
};

struct CopyLoop {
  const std::byte* from;
  std::byte* to;
  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    std::memcpy(to + begin, from + begin, static_cast<std::size_t>(end - begin));
  }
};

struct ZeroLoop {
  std::byte* to;
  [[gnu::always_inline]] void operator()(std::int64_t begin, std::int64_t end) const {
    std::memset(to + begin, 0, static_cast<std::size_t>(end - begin));
  }
};

constexpr std::int64_t kCopyChunk = 256 * 1024;

void copy_row(const View& from, const View& to) {
  cpu::simd_loop(CopyLoop{from.as<std::byte>(), to.as<std::byte>()}, to.bytes().value, kCopyChunk);
}

template <typename From>
void cast_row_from(const View& from, const View& to) {
  const From* source = from.as<From>();
  switch (to.dtype) {
    case DType::f32:
      return cpu::simd_loop(CastLoop<From, float>{source, to.as<float>()}, to.numel);
    case DType::bf16:
      return cpu::simd_loop(CastLoop<From, cpu::Bf16>{source, to.as<cpu::Bf16>()}, to.numel);
    case DType::f16:
      return cpu::simd_loop(CastLoop<From, cpu::F16>{source, to.as<cpu::F16>()}, to.numel);
    default:
      ZT_ASSERT(false, "checked by cast");
  }
}

void cast_row(const View& from, const View& to) {
  if (from.dtype == to.dtype) {
    return copy_row(from, to);
  }
  switch (from.dtype) {
    case DType::f32:
      return cast_row_from<float>(from, to);
    case DType::bf16:
      return cast_row_from<cpu::Bf16>(from, to);
    case DType::f16:
      return cast_row_from<cpu::F16>(from, to);
    default:
      ZT_ASSERT(false, "checked by cast");
  }
}

}  // namespace

void cast_strided_cpu(const View& from, const StridedRows& rows, const View& to) {
  for (std::int64_t row = 0; row < rows.rows; ++row) {
    cast_row(from.slice(rows.begin + row * rows.stride, rows.count),
             to.slice(row * rows.count, rows.count));
  }
}

void fill_zero_cpu(const View& view) {
  cpu::simd_loop(ZeroLoop{view.as<std::byte>()}, view.bytes().value, kCopyChunk);
}

}  // namespace zt::kernels
