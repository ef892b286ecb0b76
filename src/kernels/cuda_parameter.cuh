#pragma once

#include "kernels/cuda_common.cuh"

namespace zt::kernels {

/// A parameter in any float dtype; its few elements are read once per block or thread.
struct Parameter {
  const void* data;  ///< null: there is none
  DType dtype;
};
inline Parameter parameter_of(const View& view) {
  return {view.numel > 0 ? view.data : nullptr, view.dtype};
}
__device__ __forceinline__ float parameter_at(const Parameter& from, std::int64_t i) {
  switch (from.dtype) {
    case DType::bf16:
      return to_float(static_cast<const Bf16*>(from.data)[i]);
    case DType::f16:
      return to_float(static_cast<const F16*>(from.data)[i]);
    default:
      return static_cast<const float*>(from.data)[i];
  }
}

}  // namespace zt::kernels
