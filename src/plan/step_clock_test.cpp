#include "plan/step_clock.h"

#include <gtest/gtest.h>

namespace zt::plan {
namespace {

using schedule::Operation;
using schedule::OpKind;
using schedule::Stream;
using schedule::Variant;
using schedule::VariantKind;

Operation compute(std::vector<int> waits = {}) {
  return {.kind = OpKind::forward, .stream = Stream::compute, .waits = std::move(waits)};
}
Operation comm(std::vector<int> waits = {}) {
  return {.kind = OpKind::gather, .stream = Stream::comm, .waits = std::move(waits)};
}

/// Compute takes 2 s, communication 1 s.
double seconds_of(const Operation& op) { return op.stream == Stream::compute ? 2 : 1; }

/// A step whose only micro-step is this list, with nothing at the boundary.
StepLength walk(const Variant& variant, const OperationSeconds& seconds,
                const Contention& contention) {
  schedule::Program program;
  program.variants.resize(schedule::kNumVariants);
  for (int v = 0; v < schedule::kNumVariants; ++v) {
    program.variants[static_cast<std::size_t>(v)].kind = static_cast<VariantKind>(v);
  }
  program.variants[static_cast<std::size_t>(VariantKind::only)].operations = variant.operations;
  return walk_step(program, 1, seconds, contention);
}

TEST(StepClockTest, CommunicationBesideComputeIsHiddenAndTheFirstGatherIsNot) {
  // gather 0, forward 1 (waits 0), gather 2, forward 3 (waits 2)
  const Variant variant{.operations = {comm(), compute({0}), comm(), compute({2})}};
  const auto time = walk(variant, seconds_of, {});
  EXPECT_DOUBLE_EQ(time.length, 5);
  EXPECT_DOUBLE_EQ(time.compute, 4);
  EXPECT_DOUBLE_EQ(time.exposed(), 1);
}

TEST(StepClockTest, ComputeThatNeedsEachGatherWaitsForTheLink) {
  const Variant variant{.operations = {comm(), compute({0}), comm({1}), compute({2})}};
  EXPECT_DOUBLE_EQ(walk(variant, seconds_of, {}).length, 6);
}

TEST(StepClockTest, ContentionSlowsBothOnlyWhileBothRun) {
  // Beside the second gather compute does half of its work per second and the gather takes twice
  // as long.
  const Variant variant{.operations = {comm(), compute({0}), comm()}};
  const auto time = walk(variant, seconds_of, {.compute_lost = 0.5, .link_factor = 2});
  EXPECT_DOUBLE_EQ(time.length, 1 + 2 + 1);  // 2 s beside the gather do 1 s of compute
  EXPECT_DOUBLE_EQ(time.slowed, 1);
  EXPECT_DOUBLE_EQ(time.exposed(), 1);
}

TEST(StepClockTest, OperationsWithoutTimeLetOthersGoOn) {
  Variant variant{.operations = {compute(), comm({0}), compute({1})}};
  variant.operations[1].kind = OpKind::release;
  const auto none = [](const Operation& op) { return op.kind == OpKind::release ? 0.0 : 2.0; };
  EXPECT_DOUBLE_EQ(walk(variant, none, {}).length, 4);
}

TEST(StepClockTest, AnEmptyListTakesNoTime) {
  EXPECT_DOUBLE_EQ(walk({}, seconds_of, {}).length, 0);
}

/// A boundary leaves the host 3 s of work, which a forward of the next step needs; the rest of a
/// step computes for 2 s before it and 2 s after it.
schedule::Program with_host_work() {
  schedule::Program program;
  program.variants.resize(schedule::kNumVariants);
  for (int v = 0; v < schedule::kNumVariants; ++v) {
    program.variants[static_cast<std::size_t>(v)].kind = static_cast<VariantKind>(v);
  }
  const auto variant = [&](VariantKind kind) -> auto& {
    return program.variants[static_cast<std::size_t>(kind)].operations;
  };
  variant(VariantKind::boundary) = {comm(),
                                    {.kind = OpKind::step, .stream = Stream::host, .waits = {0}}};
  auto needs = compute();
  needs.carried = {{VariantKind::boundary, 1}};
  variant(VariantKind::only) = variant(VariantKind::first) = {compute(), needs};
  variant(VariantKind::middle) = {compute()};
  variant(VariantKind::last) = {compute()};
  return program;
}

double with_host(const Operation& op) { return op.stream == Stream::host ? 3 : seconds_of(op); }

TEST(StepClockTest, WorkThatABoundaryLeavesBehindRunsBesideTheNextStepsBegin) {
  const auto program = with_host_work();
  const auto one = walk_step(program, 1, with_host, {});
  EXPECT_DOUBLE_EQ(one.compute, 4);
  EXPECT_DOUBLE_EQ(one.length, 1 + 3 + 2);  // clip, then 3 s of which compute hides 2, then compute
  const auto free = [](const Operation& op) {
    return op.stream == Stream::host ? 0 : seconds_of(op);
  };
  EXPECT_DOUBLE_EQ(walk_step(program, 1, free, {}).length, 1 + 4);
}

TEST(StepClockTest, MicroStepsInTheMiddleTakeWhatTheyTake) {
  const auto program = with_host_work();
  for (const int micro_steps : {2, 3, 4, 9}) {
    const auto time = walk_step(program, micro_steps, with_host, {});
    EXPECT_DOUBLE_EQ(time.length, 1 + 3 + 2 + 2.0 * (micro_steps - 1)) << micro_steps;
    EXPECT_DOUBLE_EQ(time.compute, 4 + 2.0 * (micro_steps - 1));
  }
}

}  // namespace
}  // namespace zt::plan
