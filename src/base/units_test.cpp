#include "base/units.h"

#include <gtest/gtest.h>

namespace zt {
namespace {

TEST(UnitsTest, ParsesDecimalAndBinarySizes) {
  EXPECT_EQ(parse_bytes("24GB", "x").value, 24'000'000'000);
  EXPECT_EQ(parse_bytes("24 GiB", "x").value, 24LL << 30);
  EXPECT_EQ(parse_bytes("512", "x").value, 512);
  EXPECT_EQ(parse_bytes("1.5mib", "x").value, 3 << 19);
}

TEST(UnitsTest, RefusesSizesThatAreNotPositiveNumbers) {
  for (const char* bad : {"", "GB", "-1GB", "nan", "inf", "12XB", "0", "1e40", "24GB extra"}) {
    EXPECT_THROW(parse_bytes(bad, "--gpu_memory"), ConfigError) << bad;
  }
}

TEST(UnitsTest, StorageDependsOnTheElementType) {
  EXPECT_EQ(storage(Numel{10}, DType::bf16).value, 20);
  EXPECT_EQ(storage(Numel{10}, DType::f32).value, 40);
}

TEST(UnitsTest, NarrowingRefusesLoss) {
  EXPECT_EQ(checked_narrow<int>(std::int64_t{7}), 7);
  EXPECT_THROW(checked_narrow<int>(std::int64_t{1} << 40), InternalError);
  EXPECT_THROW(checked_narrow<unsigned>(-1), InternalError);
}

TEST(UnitsTest, FormatsBytesForPeople) {
  EXPECT_EQ(format_bytes({17}), "17 B");
  EXPECT_EQ(format_bytes({3LL << 29}), "1.5 GiB");
}

}  // namespace
}  // namespace zt
