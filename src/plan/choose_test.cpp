#include "plan/choose.h"

#include <gtest/gtest.h>

#include "plan/test_layers.h"

namespace zt::plan {
namespace {

constexpr std::int64_t kGB = 1'000'000'000;

zero::EngineOptions options_of(int stage, std::int64_t sequence, int micro_steps) {
  zero::EngineOptions options;
  options.precision.compute = DType::bf16;
  options.zero.stage = stage;
  options.zero.reduce_bucket_size = 1'000'000;
  options.shape = {1, sequence};
  options.micro_steps = micro_steps;
  return options;
}

Target gpus(Bytes memory) {
  return {.device = Device::cuda, .world = 4, .device_memory = memory, .local_world = 4};
}

TEST(ChooseTest, WithRoomNothingIsRecomputedAndTheStepIsOneBatch) {
  const auto model = sized_model({});
  const auto chosen = choose(options_of(3, 512, 16), model, gpus({100 * kGB}));
  EXPECT_EQ(chosen.zero.recompute, Recompute::none);
  EXPECT_EQ(chosen.zero.coalesce, 16);
  EXPECT_EQ(chosen.shape.batch, 16);
  EXPECT_EQ(chosen.shape.sequence, 512);
  EXPECT_EQ(chosen.micro_steps, 1);
}

TEST(ChooseTest, CoalescingStopsAt16384TokensAndDividesTheMicroSteps) {
  const auto model = sized_model({});
  EXPECT_EQ(choose(options_of(1, 4096, 12), model, gpus({100 * kGB})).zero.coalesce, 4);
  EXPECT_EQ(choose(options_of(1, 4096, 7), model, gpus({100 * kGB})).zero.coalesce, 1);
  EXPECT_EQ(choose(options_of(1, 32768, 4), model, gpus({100 * kGB})).zero.coalesce, 1);
}

TEST(ChooseTest, WithRoomStages2And3ReduceAtTheBoundaryAndRetain) {
  const auto model = sized_model({});
  auto options = options_of(3, 512, 16);
  options.zero.coalesce = 1;
  options.zero.param_persistence_threshold = 0;
  const auto chosen = choose(options, model, gpus({100 * kGB}));
  EXPECT_EQ(chosen.zero.reduce_at, ReduceAt::boundary);
  EXPECT_TRUE(chosen.zero.retain_auto);
  EXPECT_EQ(choose(options_of(2, 512, 1), model, gpus({100 * kGB})).zero.retain_auto, false)
      << "nothing to send less";
}

TEST(ChooseTest, LessMemoryGivesUpSpeedStepByStepAndAlwaysFits) {
  const auto model = sized_model({.blocks = 8});
  const auto options = options_of(3, 512, 16);
  const Planner roomy(model, gpus({}));
  auto most = choose(roomy, options).memory.device_total().value;
  auto frugal = options;
  frugal.zero.recompute = Recompute::full;
  frugal.zero.reduce_at = ReduceAt::micro_step;
  frugal.zero.retain_auto = false;
  frugal.zero.coalesce = 1;
  const auto least = static_cast<double>(roomy.measure(frugal).memory.device_total().value);
  int previous = 16, fitted = 0;
  bool recomputed = false;
  for (int percent = 200; percent >= 10; percent -= 10) {
    const auto target = gpus({most / 100 * percent});
    const auto chosen = choose(Planner(model, target), options);
    const bool can_fit = least <= kUsableShare * static_cast<double>(target.device_memory.value);
    EXPECT_EQ(fits(chosen, target, kUsableShare), can_fit) << percent << " %";
    if (!can_fit) continue;
    ++fitted;
    EXPECT_LE(chosen.options.zero.coalesce, 16);
    recomputed = recomputed || chosen.options.zero.recompute != Recompute::none;
    previous = std::min(previous, chosen.options.zero.coalesce);
  }
  EXPECT_GE(fitted, 5);
  EXPECT_TRUE(recomputed);
  EXPECT_LT(previous, 16);
}

TEST(ChooseTest, WhatTheUserSetStays) {
  const auto model = sized_model({});
  auto options = options_of(3, 512, 16);
  options.zero.recompute = Recompute::full;
  options.zero.reduce_at = ReduceAt::micro_step;
  options.zero.retain_auto = false;
  options.zero.coalesce = 2;
  const auto chosen = choose(options, model, gpus({100 * kGB}));
  EXPECT_EQ(chosen.zero.recompute, Recompute::full);
  EXPECT_EQ(chosen.zero.reduce_at, ReduceAt::micro_step);
  EXPECT_FALSE(chosen.zero.retain_auto);
  EXPECT_EQ(chosen.zero.coalesce, 2);
  EXPECT_EQ(chosen.micro_steps, 8);
  options.zero.coalesce = 3;
  EXPECT_THROW(choose(options, model, gpus({100 * kGB})), ConfigError);
}

TEST(ChooseTest, CpuRanksTakeTheTableOffOffNone) {
  const auto model = sized_model({});
  auto target = gpus({100 * kGB});
  target.device = Device::cpu;
  for (int stage = 0; stage <= 3; ++stage) {
    const auto chosen = choose(options_of(stage, 512, 16), model, target);
    EXPECT_EQ(chosen.zero.recompute, Recompute::none);
    EXPECT_EQ(chosen.zero.reduce_at, stage < 2 ? ReduceAt::boundary : ReduceAt::micro_step);
    EXPECT_FALSE(chosen.zero.retain_auto);
    EXPECT_EQ(chosen.zero.coalesce, 1);
    EXPECT_EQ(chosen.micro_steps, 16);
  }
}

TEST(ChooseTest, IsAFixedPointOfItsOwnResult) {
  const auto model = sized_model({});
  const auto once = choose(options_of(3, 512, 16), model, gpus({100 * kGB}));
  auto again_options = once;
  again_options.zero.coalesce = 1;  // already applied to shape and micro_steps
  const auto again = choose(again_options, model, gpus({100 * kGB}));
  EXPECT_EQ(again.shape.batch, once.shape.batch);
  EXPECT_EQ(again.zero.recompute, once.zero.recompute);
}

std::string refusal(const Planner& planner, const zero::EngineOptions& options) {
  try {
    require_fits(planner, planner.measure(options));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

TEST(RequireFitsTest, NamesNeedAndTheCheapestChange) {
  const auto model = sized_model({});
  auto options = options_of(0, 512, 4);
  options.zero.recompute = Recompute::none;
  const Planner unlimited(model, gpus({}));
  EXPECT_EQ(refusal(unlimited, options), "");
  const auto stage0 = unlimited.measure(options).memory.device_total();
  options.zero.stage = 1;
  const auto stage1 = unlimited.measure(options).memory.device_total();
  options.zero.stage = 0;
  ASSERT_LT(static_cast<double>(stage1.value), 0.99 * static_cast<double>(stage0.value));

  EXPECT_EQ(refusal(Planner(model, gpus(stage0)), options), "") << "exactly enough is enough";
  const auto text = refusal(Planner(model, gpus(stage0 - Bytes{1})), options);
  EXPECT_NE(text.find("[plan.fits]"), std::string::npos) << text;
  EXPECT_NE(text.find(format_bytes(stage0)), std::string::npos) << text;
  EXPECT_NE(text.find("Cheapest change that fits: "), std::string::npos) << text;
}

TEST(RequireFitsTest, OffersASmallerMicroBatchAndThenGivesUp) {
  const auto model = sized_model({.blocks = 6});
  auto options = options_of(3, 4096, 1);
  options.shape.batch = 16;
  options.zero.optimizer_place = options.zero.param_place = Place::host;
  options.zero.recompute = Recompute::full;
  auto small = options;
  small.shape.batch = 1;
  small.micro_steps = 16;
  const Planner unlimited(model, gpus({}));
  const auto enough = unlimited.measure(small).memory.device_total();
  const auto text = refusal(Planner(model, gpus({enough.value / 88 * 100})), options);
  EXPECT_NE(text.find("--per_device_train_batch_size"), std::string::npos) << text;
  const auto nothing = refusal(Planner(model, gpus({enough.value / 2})), options);
  EXPECT_NE(nothing.find("Nothing fits on 4 ranks; the least is"), std::string::npos) << nothing;
}

}  // namespace
}  // namespace zt::plan
