#include "plan/arithmetic.h"

#include <gtest/gtest.h>

namespace zt::plan {
namespace {

double gb(const Placement& placement, const Assumption& assumption, double params, int cards) {
  return states_per_card(placement, assumption.bytes, params, cards) / 1e9;
}

TEST(ArithmeticTest, ThirtyTwoBillionOnEightCardsAsTheGuidesHaveIt) {
  const auto& bytes = kAssumptions[0];
  EXPECT_DOUBLE_EQ(gb({0}, bytes, 32e9, 8), 256);
  EXPECT_DOUBLE_EQ(gb({1}, bytes, 32e9, 8), 144);
  EXPECT_DOUBLE_EQ(gb({2}, bytes, 32e9, 8), 88);
  EXPECT_DOUBLE_EQ(gb({2, true}, bytes, 32e9, 8), 72);
  EXPECT_DOUBLE_EQ(gb({3}, bytes, 32e9, 8), 32);
  EXPECT_DOUBLE_EQ(gb({3, false, true}, bytes, 32e9, 8), 24);
}

TEST(ArithmeticTest, SevenBillionOnFourCardsAsTheGuidesHaveIt) {
  const auto& bytes = kAssumptions[1];
  EXPECT_DOUBLE_EQ(7 * bytes.bytes.total(), 84);
  EXPECT_DOUBLE_EQ(gb({1}, bytes, 7e9, 4), 42);
  EXPECT_DOUBLE_EQ(gb({2}, bytes, 7e9, 4), 31.5);
  EXPECT_DOUBLE_EQ(gb({3}, bytes, 7e9, 4), 21);
}

TEST(ArithmeticTest, ZeroPaperCounts120GBForSevenAndAHalfBillion) {
  // ZeRO (2020), figure 1: 7.5B on 64 cards with 2+2+12 bytes.
  const auto& bytes = kAssumptions[2];
  EXPECT_NEAR(gb({0}, bytes, 7.5e9, 64), 120, 0.05);
  EXPECT_NEAR(gb({1}, bytes, 7.5e9, 64), 31.4, 0.05);
  EXPECT_NEAR(gb({2}, bytes, 7.5e9, 64), 16.6, 0.05);
  EXPECT_NEAR(gb({3}, bytes, 7.5e9, 64), 1.9, 0.05);
}

TEST(ArithmeticTest, OneCardShardsNothing) {
  for (const int stage : {0, 1, 2, 3}) EXPECT_DOUBLE_EQ(gb({stage}, kAssumptions[3], 1e9, 1), 18);
}

}  // namespace
}  // namespace zt::plan
