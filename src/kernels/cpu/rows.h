#pragma once

#include "kernels/cpu/half.h"
#include "kernels/cpu/simd_loop.h"
#include "memory/view.h"

namespace zt::kernels::cpu {

/// Runs body(first row, end row) over rows in chunks of `chunk`; chunks do not depend on threads.
template <typename Body>
void row_loop(const Body& body, std::int64_t rows, std::int64_t chunk) {
  simd_loop(body, rows, chunk);
}

/// Calls visit.template operator()<T>() with T the storage type of an activation dtype.
template <typename Visit>
void with_activation(DType dtype, const Visit& visit) {
  ZT_ASSERT(dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16,
            "activations are fp32, bf16 or fp16");
  if (dtype == DType::f32) {
    visit.template operator()<float>();
  } else if (dtype == DType::bf16) {
    visit.template operator()<Bf16>();
  } else {
    visit.template operator()<F16>();
  }
}

/// a rounded to T and widened again.
template <typename T>
[[gnu::always_inline]] inline float rounded(float a) {
  return to_float(from_float<T>(a));
}

}  // namespace zt::kernels::cpu
