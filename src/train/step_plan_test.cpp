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

}  // namespace
}  // namespace zt::train
