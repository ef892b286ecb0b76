#include "kernels/cast/cast.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/cast/cast_ref.h"
#include "kernels/cpu/half.h"

namespace zt::kernels {
namespace {

using cpu::Bf16;
using cpu::F16;

template <typename T>
constexpr DType dtype_of() {
  return std::is_same_v<T, float> ? DType::f32 : std::is_same_v<T, Bf16> ? DType::bf16 : DType::f16;
}

template <typename T>
View view_of(std::vector<T>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), dtype_of<T>()};
}

/// Every sign and exponent with significands at, just below and just above each 16-bit tie.
std::vector<float> hard_floats() {
  std::vector<float> values;
  std::mt19937 generator(3);
  for (std::uint32_t head = 0; head < 512; ++head) {
    for (const std::uint32_t tail :
         {0U, 1U, 0x7fffU, 0x8000U, 0x8001U, 0x18000U, 0x0fffU, 0x1000U, 0x1001U, 0x3000U,
          0x7fffffU, static_cast<std::uint32_t>(generator()) & 0x7fffffU}) {
      values.push_back(std::bit_cast<float>(head << 23 | tail));
    }
  }
  return values;
}

template <typename T>
void expect_rounded(double (*reference)(double)) {
  std::vector<float> from = hard_floats();
  std::vector<T> to(from.size());
  cast(view_of(from), view_of(to), {});
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (std::isnan(from[i])) {
      ASSERT_EQ(to[i].bits, 0x7fff);
      continue;
    }
    const double value = cpu::to_float(to[i]);
    ASSERT_EQ(value, reference(from[i])) << i << ": " << from[i];
    ASSERT_EQ(std::signbit(value), std::signbit(from[i])) << i;
  }
}

TEST(CastTest, Bf16RoundsToNearestEvenAtEveryExponent) {
  expect_rounded<Bf16>(reference::round_to_bf16);
}

TEST(CastTest, F16RoundsToNearestEvenAtEveryExponent) {
  expect_rounded<F16>(reference::round_to_f16);
}

template <typename T>
void expect_round_trip() {
  std::vector<T> from;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    from.push_back({static_cast<std::uint16_t>(bits)});
  }
  std::vector<float> wide(from.size());
  std::vector<T> back(from.size());
  cast(view_of(from), view_of(wide), {});
  cast(view_of(wide), view_of(back), {});
  for (std::size_t i = 0; i < from.size(); ++i) {
    ASSERT_EQ(back[i].bits, std::isnan(wide[i]) ? 0x7fff : from[i].bits) << i;
  }
}

TEST(CastTest, EveryBf16ValueSurvivesTheWayThroughFp32) { expect_round_trip<Bf16>(); }
TEST(CastTest, EveryF16ValueSurvivesTheWayThroughFp32) { expect_round_trip<F16>(); }

TEST(CastTest, F16WidensToTheValueItDenotes) {
  EXPECT_EQ(cpu::to_float(F16{0x0001}), 0x1p-24F);
  EXPECT_EQ(cpu::to_float(F16{0x3555}), 0x1.554p-2F);
  EXPECT_EQ(cpu::to_float(F16{0x7bff}), 65504.0F);
  EXPECT_TRUE(std::isinf(cpu::to_float(F16{0xfc00})));
}

TEST(CastTest, Bf16ToF16GoesThroughFp32) {
  std::vector<Bf16> from = {cpu::from_float<Bf16>(1.5F), cpu::from_float<Bf16>(1e6F)};
  std::vector<F16> to(2);
  cast(view_of(from), view_of(to), {});
  EXPECT_EQ(cpu::to_float(to[0]), 1.5F);
  EXPECT_TRUE(std::isinf(cpu::to_float(to[1])));
}

TEST(CastTest, StridedRowsTakeTheirSlicesOfALargeBuffer) {
  std::vector<float> from(70'000);
  for (std::size_t i = 0; i < from.size(); ++i) {
    from[i] = static_cast<float>(i % 251);
  }
  constexpr std::int64_t kBegin = 11, kStride = 17'000, kRows = 4, kCount = 16'001;
  std::vector<Bf16> to(kRows * kCount);
  cast_strided(view_of(from), kBegin, kStride, kRows, kCount, view_of(to), {});
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(cpu::to_float(to[static_cast<std::size_t>(row * kCount + i)]),
                from[static_cast<std::size_t>(kBegin + row * kStride + i)]);
    }
  }
  EXPECT_THROW(cast_strided(view_of(from), 3000, kStride, kRows, kCount, view_of(to), {}),
               InternalError);
}

TEST(CastTest, FillZeroClearsExactlyTheView) {
  std::vector<float> values(1000, 1.0F);
  fill_zero(view_of(values).slice(1, 998), {});
  EXPECT_EQ(values.front(), 1.0F);
  EXPECT_EQ(values[1], 0.0F);
  EXPECT_EQ(values[998], 0.0F);
  EXPECT_EQ(values.back(), 1.0F);
}

TEST(CastTest, RefusesIntegersAndOtherLengths) {
  std::vector<float> from(4), to(3);
  std::vector<std::int32_t> ints(4);
  EXPECT_THROW(cast(view_of(from), view_of(to), {}), InternalError);
  EXPECT_THROW(cast(view_of(from), {ints.data(), 4, DType::i32}, {}), InternalError);
}

}  // namespace
}  // namespace zt::kernels
