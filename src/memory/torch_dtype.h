#pragma once

#include <c10/core/ScalarType.h>

#include <string>

#include "base/units.h"

namespace zt::memory {

/// libtorch's name of an element type. Header only, so that this module still links without
/// libtorch.
inline c10::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return c10::kFloat;
    case DType::bf16:
      return c10::kBFloat16;
    case DType::f16:
      return c10::kHalf;
    case DType::i64:
      return c10::kLong;
    case DType::i32:
      return c10::kInt;
    case DType::u8:
      return c10::kByte;
  }
  throw_assertion(__FILE__, __LINE__, "known dtype", "a dtype without a torch type");
}

/// The way back. Errors: InternalError for a type that has no DType.
inline DType dtype_of(c10::ScalarType type) {
  for (const auto dtype :
       {DType::f32, DType::bf16, DType::f16, DType::i64, DType::i32, DType::u8}) {
    if (scalar_type(dtype) == type) return dtype;
  }
  throw_assertion(__FILE__, __LINE__, "known dtype",
                  std::string("a tensor of unsupported type ") + c10::toString(type));
}

}  // namespace zt::memory
