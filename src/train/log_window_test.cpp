#include "train/log_window.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace zt::train {
namespace {

StepRecord of_loss(double loss) { return {.step = 1, .loss = loss}; }

TEST(LogWindowTest, LoggedLossIsTheMeanSinceTheLastLog) {
  LogWindow window;
  for (const double loss : {4.0, 2.0, 3.0}) window.add(of_loss(loss));
  EXPECT_EQ(window.take(of_loss(3.0)).loss, 3.0);
  window.add(of_loss(1.5));
  const auto record = window.take(of_loss(1.5));
  EXPECT_EQ(record.loss, 1.5);
  EXPECT_EQ(record.step.loss, 1.5);
}

TEST(LogWindowTest, FilterLeavesNonFiniteLossesOut) {
  LogWindow window;
  for (const double loss : {4.0, std::numeric_limits<double>::infinity(), 2.0}) {
    window.add(of_loss(loss));
  }
  EXPECT_EQ(window.take(of_loss(2.0)).loss, 3.0);
}

TEST(LogWindowTest, WithoutTheFilterOneNonFiniteLossShows) {
  LogWindow window(false);
  for (const double loss : {4.0, std::numeric_limits<double>::quiet_NaN()}) {
    window.add(of_loss(loss));
  }
  EXPECT_TRUE(std::isnan(window.take(of_loss(2.0)).loss));
}

TEST(LogWindowTest, WindowWithoutAFiniteLossIsNaN) {
  LogWindow window;
  window.add(of_loss(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_TRUE(std::isnan(window.take(of_loss(1.0)).loss));
}

}  // namespace
}  // namespace zt::train
