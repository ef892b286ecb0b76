#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/half.h"
#include "memory/view.h"

namespace zt::kernels::test {

/// Numbers as a kernel sees them: rounded to a dtype, one element past an aligned address, and
/// guarded on both sides so that a write outside of the view is seen.
class Values {
 public:
  Values(const std::vector<double>& values, DType dtype)
      : numel_(static_cast<std::int64_t>(values.size())),
        dtype_(dtype),
        bytes_((values.size() + 2) * width(), kGuard) {
    for (std::size_t i = 0; i < values.size(); ++i) store(i, values[i]);
  }
  [[nodiscard]] View view() { return {bytes_.data() + width(), numel_, dtype_}; }
  [[nodiscard]] std::vector<double> get() const {
    std::vector<double> result(static_cast<std::size_t>(numel_));
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = load(i);
    return result;
  }
  [[nodiscard]] const std::vector<std::uint8_t>& bytes() const { return bytes_; }
  [[nodiscard]] bool guards_hold() const {
    for (std::size_t i = 0; i < width(); ++i) {
      if (bytes_[i] != kGuard || bytes_[bytes_.size() - 1 - i] != kGuard) return false;
    }
    return true;
  }

 private:
  static constexpr std::uint8_t kGuard = 0xA5;
  [[nodiscard]] std::size_t width() const {
    return static_cast<std::size_t>(size_of(dtype_).value);
  }
  template <typename T>
  void put(std::size_t i, T value) {
    std::memcpy(bytes_.data() + (i + 1) * width(), &value, sizeof(T));
  }
  template <typename T>
  [[nodiscard]] T at(std::size_t i) const {
    T value;
    std::memcpy(&value, bytes_.data() + (i + 1) * width(), sizeof(T));
    return value;
  }
  void store(std::size_t i, double value) {
    if (dtype_ == DType::f32) put(i, static_cast<float>(value));
    if (dtype_ == DType::bf16) put(i, cpu::from_float<cpu::Bf16>(static_cast<float>(value)));
    if (dtype_ == DType::f16) put(i, cpu::from_float<cpu::F16>(static_cast<float>(value)));
    if (dtype_ == DType::i64) put(i, static_cast<std::int64_t>(value));
  }
  [[nodiscard]] double load(std::size_t i) const {
    if (dtype_ == DType::f32) return at<float>(i);
    if (dtype_ == DType::bf16) return cpu::to_float(at<cpu::Bf16>(i));
    if (dtype_ == DType::f16) return cpu::to_float(at<cpu::F16>(i));
    return static_cast<double>(at<std::int64_t>(i));
  }

  std::int64_t numel_;
  DType dtype_;
  std::vector<std::uint8_t> bytes_;
};

inline std::vector<double> normal(std::int64_t count, unsigned seed, double deviation = 1,
                                  double mean = 0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> draw(mean, deviation);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = draw(generator);
  return values;
}

inline std::vector<double> zeros(std::int64_t count) {
  return std::vector<double>(static_cast<std::size_t>(count));
}

/// Bound on a result's error, relative to its magnitude plus the root mean square of all results.
/// A rounding to fp32 is 2^-24, to fp16 2^-11, to bf16 2^-8. `roundings` of the dtype follow each
/// other on the way to a result; an fp32 sum of `terms` in 32 lanes adds terms/32 + 5 roundings,
/// whose signs mix: a quarter of the bound.
inline double tolerance(DType dtype, int roundings, std::int64_t terms) {
  const int bits = dtype == DType::bf16 ? 8 : (dtype == DType::f16 ? 11 : 24);
  const double own = roundings * std::ldexp(1.0, -bits);
  const double sum = 0.25 * (static_cast<double>(terms) / 32 + 5 + 8) * std::ldexp(1.0, -24);
  return own + sum;
}

/// `got` is within the tolerance of `want` and wrote only its own elements.
inline ::testing::AssertionResult close(const Values& got, const std::vector<double>& want,
                                        double limit) {
  if (!got.guards_hold()) return ::testing::AssertionFailure() << "wrote outside of the view";
  const auto values = got.get();
  if (values.size() != want.size()) return ::testing::AssertionFailure() << "sizes differ";
  double squares = 0;
  for (const double value : want) squares += value * value;
  const double scale =
      std::sqrt(squares / static_cast<double>(std::max<std::size_t>(want.size(), 1)));
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (!(std::abs(values[i] - want[i]) <= limit * (std::abs(want[i]) + scale))) {
      return ::testing::AssertionFailure()
             << "element " << i << ": got " << values[i] << ", expected " << want[i] << ", limit "
             << limit * (std::abs(want[i]) + scale);
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace zt::kernels::test
