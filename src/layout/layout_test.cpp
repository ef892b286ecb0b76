#include "layout/layout.h"

#include <gtest/gtest.h>

#include <random>

namespace zt::layout {
namespace {

ModelLayout random_layout(std::uint32_t seed, int world) {
  std::mt19937 rng(seed);
  std::vector<ParamSpec> params;
  std::vector<UnitSpec> units(3);
  for (int i = 0; i < 9; ++i) {
    ParamSpec param;
    param.name = "p" + std::to_string(i);
    param.shape = {static_cast<std::int64_t>(rng() % 37 + 1),
                   static_cast<std::int64_t>(rng() % 53 + 1)};
    param.adjacent = i % 3 == 2 && rng() % 2 == 0;
    params.push_back(param);
    units[static_cast<std::size_t>(i / 3)].params.push_back({i});
  }
  return ModelLayout::make(params, units, world);
}

TEST(UnitLayoutTest, ShardsCoverEveryElementOnceForOddSizes) {
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    for (const int world : {1, 2, 3, 4, 7, 64}) {
      const auto layout = random_layout(seed, world);
      for (const auto& unit : layout.units) {
        EXPECT_EQ(unit.padded().value % (world * UnitLayout::kAlignment), 0);
        std::vector<std::int64_t> covered(layout.params.size(), 0);
        for (int rank = 0; rank < world; ++rank) {
          for (const auto& slice : unit.slices(rank)) {
            auto& next = covered[static_cast<std::size_t>(slice.param.value)];
            EXPECT_EQ(slice.param_begin, next);
            next += slice.length.value;
            EXPECT_LE(slice.shard_begin.value + slice.length.value, unit.shard().value);
          }
        }
        for (const auto id : unit.unit().params) {
          const auto p = static_cast<std::size_t>(id.value);
          EXPECT_EQ(covered[p], layout.params[p].numel().value);
        }
      }
    }
  }
}

TEST(UnitLayoutTest, ParametersDoNotOverlapAndAdjacentOnesTouch) {
  const auto layout = random_layout(3, 4);
  for (const auto& unit : layout.units) {
    std::int64_t end = 0;
    for (std::size_t i = 0; i < unit.unit().params.size(); ++i) {
      const auto begin = unit.offset(i).value;
      EXPECT_GE(begin, end);
      if (layout.params[static_cast<std::size_t>(unit.unit().params[i].value)].adjacent) {
        EXPECT_EQ(begin, end);
      } else {
        EXPECT_EQ(begin % UnitLayout::kAlignment, 0);
      }
      end = begin + unit.numel(i).value;
    }
    EXPECT_LE(end, unit.padded().value);
  }
}

TEST(UnitLayoutTest, BucketsCoverTheShardWithinTheirBound) {
  const auto layout = random_layout(5, 4);
  for (const auto& unit : layout.units) {
    for (const std::int64_t bound : {1, 256, 1000, 100000}) {
      std::int64_t next = 0;
      for (const auto& bucket : unit.buckets({bound})) {
        EXPECT_EQ(bucket.begin.value, next);
        EXPECT_LE(bucket.length.value * 4,
                  std::max<std::int64_t>(bound, 4 * UnitLayout::kAlignment));
        next += bucket.length.value;
      }
      EXPECT_EQ(next, unit.shard().value);
    }
  }
}

TEST(UnitLayoutTest, BucketsAreFewAndAboutEqual) {
  const UnitLayout unit({{.name = "p", .shape = {4 * 64 * 1000}}}, {"u", {{0}}}, 4);
  const auto buckets = unit.buckets({4 * 64 * 800});
  ASSERT_EQ(buckets.size(), 2U);
  EXPECT_EQ(buckets[0].length.value, 64 * 500);
  EXPECT_EQ(buckets[1].length.value, 64 * 500);
  EXPECT_EQ(unit.buckets({4 * 64 * 300}).size(), 4U);
  EXPECT_EQ(unit.buckets({4 * 64 * 1000}).size(), 1U);
}

TEST(ModelLayoutTest, RefusesAParameterInTwoUnitsOrInNone) {
  ParamSpec param{.name = "p", .shape = {4}};
  EXPECT_THROW(ModelLayout::make({param}, {{"a", {{0}}}, {"b", {{0}}}}, 1), InternalError);
  EXPECT_THROW(ModelLayout::make({param, param}, {{"a", {{0}}}}, 1), InternalError);
}

}  // namespace
}  // namespace zt::layout
