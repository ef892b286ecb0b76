#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu/test_values.h"

namespace zt::kernels::test {

/// `values` as a tensor, rounded to `dtype`.
inline at::Tensor tensor_of(const std::vector<double>& values, at::IntArrayRef sizes,
                            at::ScalarType dtype) {
  const auto host = at::empty(sizes, at::kDouble);
  std::copy(values.begin(), values.end(), host.mutable_data_ptr<double>());
  return host.to(dtype);
}

/// Standard normal values, the same for the same seed.
inline at::Tensor random_tensor(at::IntArrayRef sizes, unsigned seed, at::ScalarType dtype) {
  return tensor_of(normal(c10::multiply_integers(sizes), seed), sizes, dtype);
}

/// The elements in order.
inline std::vector<double> doubles(const at::Tensor& x) {
  const auto host = x.to(at::kDouble).contiguous();
  const auto* first = host.const_data_ptr<double>();
  return {first, first + host.numel()};
}

}  // namespace zt::kernels::test
