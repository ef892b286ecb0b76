#include "train/step_plan.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace zt::train {
namespace {

config::RunConfig run_config(std::int64_t accumulation, double epochs) {
  config::RunConfig run;
  run.gradient_accumulation_steps = accumulation;
  run.num_train_epochs = epochs;
  return run;
}

TEST(StepPlanTest, ShortLastWindowIsAStep) {
  const auto plan = make_step_plan(run_config(4, 1), 10);
  EXPECT_EQ(plan.updates_per_epoch, 3);
  EXPECT_EQ(plan.total_steps, 3);
  EXPECT_EQ(plan.window(0), 4);
  EXPECT_EQ(plan.window(1), 4);
  EXPECT_EQ(plan.window(2), 2);
}

TEST(StepPlanTest, FractionOfEpochsRoundsUpToWholeSteps) {
  EXPECT_EQ(make_step_plan(run_config(4, 0.5), 10).total_steps, 2);
  EXPECT_EQ(make_step_plan(run_config(1, 2.5), 3).total_steps, 8);
}

TEST(StepPlanTest, MaxStepsWinsOverEpochs) {
  auto run = run_config(2, 3);
  run.max_steps = 17;
  EXPECT_EQ(make_step_plan(run, 4).total_steps, 17);
}

TEST(StepPlanTest, EpochCountsMicroBatchesNotSteps) {
  const auto plan = make_step_plan(run_config(4, 2), 10);
  EXPECT_DOUBLE_EQ(plan.epoch_after(1), 0.4);
  EXPECT_DOUBLE_EQ(plan.epoch_after(2), 0.8);
  EXPECT_DOUBLE_EQ(plan.epoch_after(3), 1.0);
  EXPECT_DOUBLE_EQ(plan.epoch_after(4), 1.4);
  EXPECT_DOUBLE_EQ(plan.epoch_after(6), 2.0);
}

TEST(StepPlanTest, SharesBelowOneAreOfAllSteps) {
  auto run = run_config(1, 1);
  run.max_steps = 30;
  run.logging_steps = 0.1;
  run.eval_steps = 0.25;
  const auto plan = make_step_plan(run, 5);
  EXPECT_EQ(plan.logging_every, 3);
  EXPECT_EQ(plan.eval_every, 8);
}

TEST(StepPlanTest, FirstStepIsLoggedOnlyWhenAsked) {
  auto run = run_config(1, 1);
  run.logging_steps = 10;
  EXPECT_FALSE(make_step_plan(run, 50).logs(1));
  EXPECT_TRUE(make_step_plan(run, 50).logs(20));
  run.logging_first_step = true;
  EXPECT_TRUE(make_step_plan(run, 50).logs(1));
  EXPECT_FALSE(make_step_plan(run, 50).logs(2));
}

TEST(StepPlanTest, LastStepHasNoEvaluationOfItsOwn) {
  auto run = run_config(1, 1);
  run.eval_steps = 5;
  const auto plan = make_step_plan(run, 10);
  EXPECT_TRUE(plan.evaluates(5));
  EXPECT_FALSE(plan.evaluates(6));
  EXPECT_FALSE(plan.evaluates(10));
}

TEST(StepPlanTest, RefusesDataWithoutABatch) {
  EXPECT_THROW((void)make_step_plan(run_config(1, 1), 0), ConfigError);
}

}  // namespace
}  // namespace zt::train
