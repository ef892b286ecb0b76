#pragma once

#include "memory/view.h"

namespace zt::kernels {

/// to[i] = round_to_nearest_even(from[i]); fp32, bf16 and fp16 in any combination; equal dtypes
/// copy. Shapes: both [n]. The views do not overlap.
void cast(const View& from, const View& to, const Launch& launch);

/// Sets every byte to zero.
void fill_zero(const View& view, const Launch& launch);

/// to[k * count + i] = cast(from[begin + k * stride + i]): gathers `rows` slices of length `count`,
/// `stride` elements apart, starting at `begin`. Packs a bucket slice of every rank's shard.
/// Shapes: from [>= begin + (rows - 1) * stride + count]; to [rows x count].
void cast_strided(const View& from, std::int64_t begin, std::int64_t stride, std::int64_t rows,
                  std::int64_t count, const View& to, const Launch& launch);

}  // namespace zt::kernels
