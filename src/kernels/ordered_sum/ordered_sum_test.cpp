#include "kernels/ordered_sum/ordered_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/cpu/test_vectors.h"
#include "kernels/ordered_sum/ordered_sum_ref.h"

namespace zt::kernels {
namespace {

using cpu::Bf16;
using cpu::F16;
using test::random_values;
using test::view_of;

template <typename Wire, typename Out>
void expect_contract(std::size_t numel, int world, bool accumulate) {
  std::vector<Wire> parts = random_values<Wire>(numel * static_cast<std::size_t>(world));
  std::vector<Out> out = random_values<Out>(numel);
  const std::vector<Out> before = out;
  ordered_sum(view_of(parts), world, view_of(out), accumulate, {});
  for (std::size_t i = 0; i < numel; ++i) {
    std::vector<float> ranks;
    double magnitude = 0;
    for (std::size_t rank = 0; rank < static_cast<std::size_t>(world); ++rank) {
      ranks.push_back(cpu::to_float(parts[rank * numel + i]));
      magnitude += std::abs(ranks.back());
    }
    const float sum = reference::ordered_sum<float>(ranks);
    ASSERT_NEAR(sum, reference::ordered_sum<double>(ranks), 6e-8 * world * magnitude);
    const float expected = accumulate ? cpu::to_float(before[i]) + sum : sum;
    ASSERT_EQ(cpu::to_float(out[i]), cpu::to_float(cpu::from_float<Out>(expected))) << i;
  }
}

class OrderedSumSizes : public testing::TestWithParam<std::tuple<std::size_t, int, bool>> {};

TEST_P(OrderedSumSizes, AddsInRankOrderAndRoundsOnce) {
  const auto [numel, world, accumulate] = GetParam();
  expect_contract<float, float>(numel, world, accumulate);
  expect_contract<Bf16, float>(numel, world, accumulate);
  expect_contract<Bf16, Bf16>(numel, world, accumulate);
  expect_contract<float, Bf16>(numel, world, accumulate);
  expect_contract<F16, float>(numel, world, accumulate);
  expect_contract<F16, F16>(numel, world, accumulate);
}

INSTANTIATE_TEST_SUITE_P(OddSizes, OrderedSumSizes,
                         testing::Combine(testing::Values(1, 63, 64, 65, 40'001),
                                          testing::Values(1, 2, 3, 8), testing::Bool()));

TEST(OrderedSumTest, OrderIsRankOrder) {
  std::vector<float> parts = {1e8F, -1e8F, 1.0F};
  std::vector<float> out(1);
  ordered_sum(view_of(parts), 3, view_of(out), false, {});
  EXPECT_EQ(out[0], 1.0F);
  parts = {1.0F, 1e8F, -1e8F};
  ordered_sum(view_of(parts), 3, view_of(out), false, {});
  EXPECT_EQ(out[0], 0.0F);
}

TEST(OrderedSumTest, RefusesPartsOfTheWrongLength) {
  std::vector<float> parts(5), out(2);
  EXPECT_THROW(ordered_sum(view_of(parts), 2, view_of(out), false, {}), InternalError);
}

}  // namespace
}  // namespace zt::kernels
