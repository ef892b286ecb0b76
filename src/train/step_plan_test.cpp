#include "train/step_plan.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace zt::train {
namespace {

TEST(StepPlanTest, SharesBelowOneAreOfAllStepsRoundedUp) {
  config::RunConfig run;
  run.logging_steps = 0.1;
  run.eval_strategy = config::Interval::steps;
  run.eval_steps = 0.25;
  const auto plan = make_step_plan(run, 30, 5);
  EXPECT_EQ(plan.logging_every, 3);
  EXPECT_EQ(plan.eval_every, 8);
}

TEST(StepPlanTest, FirstStepIsLoggedOnlyWhenAsked) {
  config::RunConfig run;
  run.logging_steps = 10;
  EXPECT_FALSE(make_step_plan(run, 50, 50).logs(1));
  EXPECT_TRUE(make_step_plan(run, 50, 50).logs(20));
  run.logging_first_step = true;
  EXPECT_TRUE(make_step_plan(run, 50, 50).logs(1));
  EXPECT_FALSE(make_step_plan(run, 50, 50).logs(2));
}

TEST(StepPlanTest, LastStepHasNoEvaluationOfItsOwn) {
  config::RunConfig run;
  run.eval_strategy = config::Interval::steps;
  run.eval_steps = 5;
  const auto plan = make_step_plan(run, 10, 10);
  EXPECT_TRUE(plan.evaluates(5));
  EXPECT_FALSE(plan.evaluates(6));
  EXPECT_FALSE(plan.evaluates(10));
}

TEST(StepPlanTest, EpochStrategiesActAtTheEndOfEachEpochAndOfTheRun) {
  config::RunConfig run;
  run.logging_strategy = run.eval_strategy = config::Interval::epoch;
  const auto plan = make_step_plan(run, 10, 4);
  std::vector<int> logs, evaluations;
  for (int step = 1; step <= 10; ++step) {
    if (plan.logs(step)) logs.push_back(step);
    if (plan.evaluates(step)) evaluations.push_back(step);
  }
  EXPECT_EQ(logs, (std::vector{4, 8, 10}));
  EXPECT_EQ(evaluations, (std::vector{4, 8}));
}

TEST(StepPlanTest, StrategyNoLogsNothingButAWantedFirstStep) {
  config::RunConfig run;
  run.logging_strategy = config::Interval::no;
  run.logging_first_step = true;
  const auto plan = make_step_plan(run, 10, 4);
  EXPECT_TRUE(plan.logs(1));
  for (int step = 2; step <= 10; ++step) EXPECT_FALSE(plan.logs(step));
}

TEST(StepPlanTest, WithoutEvalStepsNothingIsEvaluatedOnTheWay) {
  const auto plan = make_step_plan({}, 10, 10);
  for (int step = 1; step <= 10; ++step) EXPECT_FALSE(plan.evaluates(step));
}

TEST(StepPlanTest, RefusesARunWithoutSteps) {
  EXPECT_THROW((void)make_step_plan({}, 0, 1), ConfigError);
}

TEST(StepPlanTest, CheckpointsComeByTheirStrategyAndAtTheEnd) {
  config::RunConfig run;
  config::CheckpointConfig checkpoint;
  checkpoint.save_steps = 4;
  auto plan = make_step_plan(run, 10, 5);
  EXPECT_FALSE(plan.saves(4));
  plan_saves(plan, checkpoint);
  std::vector<std::int64_t> saved;
  for (std::int64_t step = 1; step <= 10; ++step) {
    if (plan.saves(step)) saved.push_back(step);
  }
  EXPECT_EQ(saved, (std::vector<std::int64_t>{4, 8, 10}));
  checkpoint.save_steps = 0.25;
  plan_saves(plan, checkpoint);
  EXPECT_EQ(plan.save_every, 3);
  checkpoint.save_strategy = config::SaveStrategy::epoch;
  plan_saves(plan, checkpoint);
  EXPECT_TRUE(plan.saves(5) && plan.saves(10) && !plan.saves(3));
  checkpoint.save_strategy = config::SaveStrategy::no;
  plan_saves(plan, checkpoint);
  EXPECT_FALSE(plan.saves(5) || plan.saves(10));
}

}  // namespace
}  // namespace zt::train
