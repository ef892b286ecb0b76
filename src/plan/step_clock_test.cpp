#include "plan/step_clock.h"

#include <gtest/gtest.h>

namespace zt::plan {
namespace {

using schedule::Operation;
using schedule::OpKind;
using schedule::Stream;
using schedule::Variant;

Operation compute(std::vector<int> waits = {}) {
  return {.kind = OpKind::forward, .stream = Stream::compute, .waits = std::move(waits)};
}
Operation comm(std::vector<int> waits = {}) {
  return {.kind = OpKind::gather, .stream = Stream::comm, .waits = std::move(waits)};
}

/// Compute takes 2 s, communication 1 s.
double seconds_of(const Operation& op) { return op.stream == Stream::compute ? 2 : 1; }

TEST(StepClockTest, CommunicationBesideComputeIsHiddenAndTheFirstGatherIsNot) {
  // gather 0, forward 1 (waits 0), gather 2, forward 3 (waits 2)
  const Variant variant{.operations = {comm(), compute({0}), comm(), compute({2})}};
  const auto time = walk_clock(variant, seconds_of, {});
  EXPECT_DOUBLE_EQ(time.length, 5);
  EXPECT_DOUBLE_EQ(time.compute, 4);
  EXPECT_DOUBLE_EQ(time.exposed(), 1);
}

TEST(StepClockTest, ComputeThatNeedsEachGatherWaitsForTheLink) {
  const Variant variant{.operations = {comm(), compute({0}), comm({1}), compute({2})}};
  EXPECT_DOUBLE_EQ(walk_clock(variant, seconds_of, {}).length, 6);
}

TEST(StepClockTest, ContentionSlowsBothOnlyWhileBothRun) {
  // Beside the second gather compute does half of its work per second and the gather takes twice
  // as long.
  const Variant variant{.operations = {comm(), compute({0}), comm()}};
  const auto time = walk_clock(variant, seconds_of, {.compute_lost = 0.5, .link_factor = 2});
  EXPECT_DOUBLE_EQ(time.length, 1 + 2 + 1);  // 2 s beside the gather do 1 s of compute
  EXPECT_DOUBLE_EQ(time.slowed, 1);
  EXPECT_DOUBLE_EQ(time.exposed(), 1);
}

TEST(StepClockTest, OperationsWithoutTimeLetOthersGoOn) {
  Variant variant{.operations = {compute(), comm({0}), compute({1})}};
  variant.operations[1].kind = OpKind::release;
  const auto none = [](const Operation& op) { return op.kind == OpKind::release ? 0.0 : 2.0; };
  EXPECT_DOUBLE_EQ(walk_clock(variant, none, {}).length, 4);
}

TEST(StepClockTest, AnEmptyListTakesNoTime) {
  EXPECT_DOUBLE_EQ(walk_clock({}, seconds_of, {}).length, 0);
}

}  // namespace
}  // namespace zt::plan
