#include "optim/loss_scaler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"

namespace zt::optim {
namespace {

using config::PrecisionConfig;

/// Start 16, window 2, hysteresis 2, minimum 1: the settings of the documented traces.
PrecisionConfig small() {
  PrecisionConfig precision;
  precision.initial_scale_power = 4;
  precision.loss_scale_window = 2;
  return precision;
}

struct Row {
  const char* name;
  PrecisionConfig precision;
  const char* steps;           ///< o: overflow, c: clean
  std::vector<double> scales;  ///< after each step
  std::vector<int> hysteresis;
};

template <typename Change>
PrecisionConfig with(Change change) {
  auto precision = small();
  change(precision);
  return precision;
}

std::vector<Row> table() {
  std::vector<Row> rows;
  rows.push_back({"clean steps double after window + 1 of them, then after every window",
                  small(),
                  "ccccccc",
                  {16, 16, 32, 32, 64, 64, 128},
                  {2, 2, 2, 2, 2, 2, 2}});
  rows.push_back(
      {"the first overflow only uses up hysteresis; a halving does not refill it, a "
       "doubling does",
       small(),
       "oooccccoo",
       {16, 8, 4, 4, 4, 8, 8, 8, 4},
       {1, 1, 1, 1, 1, 2, 2, 1, 1}});
  rows.push_back({"hysteresis 1 halves at once",
                  with([](auto& p) { p.hysteresis = 1; }),
                  "ooc",
                  {8, 4, 4},
                  {1, 1, 1}});
  rows.push_back({"hysteresis 3 takes two overflows",
                  with([](auto& p) { p.hysteresis = 3; }),
                  "oooo",
                  {16, 16, 8, 4},
                  {2, 1, 1, 1}});
  rows.push_back({"single overflows far apart still use it up without a doubling between",
                  with([](auto& p) { p.loss_scale_window = 10; }),
                  "ocococ",
                  {16, 16, 8, 8, 4, 4},
                  {1, 1, 1, 1, 1, 1}});
  rows.push_back({"consecutive_hysteresis: any clean step refills it",
                  with([](auto& p) {
                    p.consecutive_hysteresis = true;
                    p.loss_scale_window = 10;
                  }),
                  "ocococoo",
                  {16, 16, 16, 16, 16, 16, 16, 8},
                  {1, 2, 1, 2, 1, 2, 1, 1}});
  rows.push_back({"the spacing after an overflow is the same as at the start",
                  small(),
                  "cocccccc",
                  {16, 16, 16, 16, 32, 32, 64, 64},
                  {2, 1, 1, 1, 2, 2, 2, 2}});
  rows.push_back({"the minimum is a floor, also when it is no power of two below the start",
                  with([](auto& p) {
                    p.hysteresis = 1;
                    p.min_loss_scale = 5;
                  }),
                  "oo",
                  {8, 5},
                  {1, 1}});
  rows.push_back({"a minimum below 1 is reached",
                  with([](auto& p) {
                    p.hysteresis = 1;
                    p.initial_scale_power = 0;
                    p.min_loss_scale = 0.25;
                  }),
                  "oo",
                  {0.5, 0.25},
                  {1, 1}});
  rows.push_back({"at the minimum an overflow that only uses up hysteresis is no error",
                  with([](auto& p) { p.initial_scale_power = 0; }),
                  "oc",
                  {1, 1},
                  {1, 1}});
  rows.push_back({"a window of 1 doubles on every clean step but the first",
                  with([](auto& p) { p.loss_scale_window = 1; }),
                  "ccc",
                  {16, 32, 64},
                  {2, 2, 2}});
  rows.push_back({"a static scale never changes", with([](auto& p) { p.loss_scale = 100; }),
                  "occcoccco", std::vector<double>(9, 100), std::vector<int>(9, 2)});
  return rows;
}

TEST(LossScalerTest, BehavesAsDocumented) {
  for (const Row& row : table()) {
    LossScaler scaler(row.precision);
    for (std::size_t i = 0; row.steps[i] != '\0'; ++i) {
      scaler.update(row.steps[i] == 'o');
      EXPECT_EQ(scaler.scale(), row.scales.at(i)) << row.name << ", step " << i;
      EXPECT_EQ(scaler.state().hysteresis, row.hysteresis.at(i)) << row.name << ", step " << i;
    }
  }
}

TEST(LossScalerTest, TheDefaultsAreThoseOfDeepSpeed) {
  LossScaler scaler(PrecisionConfig{});
  EXPECT_TRUE(scaler.dynamic());
  EXPECT_EQ(scaler.scale(), 65536);
  for (int step = 0; step < 1000; ++step) scaler.update(false);
  EXPECT_EQ(scaler.scale(), 65536);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 131072);
  EXPECT_EQ(scaler.state().iteration, 1001);
  EXPECT_EQ(scaler.state().last_overflow_iter, -1);
}

TEST(LossScalerTest, AnOverflowAtTheMinimumIsAnErrorAndChangesNothing) {
  auto precision = small();
  precision.initial_scale_power = 1;
  precision.hysteresis = 1;
  LossScaler scaler(precision);
  scaler.update(true);
  const auto before = scaler.state();
  try {
    scaler.update(true, "gradient of block 3");
    FAIL() << "no error";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("step 2: gradients overflow at the smallest loss scale: got scale 1,"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("(gradient of block 3)"), std::string::npos) << text;
  }
  EXPECT_EQ(scaler.state().scale, before.scale);
  EXPECT_EQ(scaler.state().iteration, before.iteration);
  EXPECT_EQ(scaler.state().last_overflow_iter, before.last_overflow_iter);
}

TEST(LossScalerTest, AResumedScalerGoesOnAsIfItHadNotStopped) {
  const std::string steps = "cococcccocoocccccococ";
  LossScaler whole(small());
  for (std::size_t cut = 0; cut <= steps.size(); ++cut) {
    LossScaler first(small()), second(small());
    for (std::size_t i = 0; i < cut; ++i) first.update(steps[i] == 'o');
    second.set_state(first.state());
    for (std::size_t i = cut; i < steps.size(); ++i) second.update(steps[i] == 'o');
    if (cut == 0) whole = second;
    EXPECT_EQ(second.scale(), whole.scale()) << cut;
    EXPECT_EQ(second.state().hysteresis, whole.state().hysteresis) << cut;
    EXPECT_EQ(second.state().iteration, static_cast<std::int64_t>(steps.size())) << cut;
  }
  EXPECT_NE(whole.scale(), 16) << "the steps change the scale";
}

TEST(LossScalerTest, AStaticScaleIsNotTakenFromACheckpoint) {
  auto precision = small();
  precision.loss_scale = 128;
  LossScaler scaler(precision);
  EXPECT_FALSE(scaler.dynamic());
  scaler.set_state({.scale = 4, .iteration = 7, .last_overflow_iter = 3, .hysteresis = 1});
  EXPECT_EQ(scaler.scale(), 128);
}

TEST(LossScalerTest, StatesThatNoScalerHasAreRefused) {
  const LossScalerState bad[] = {{.scale = 0},
                                 {.scale = std::numeric_limits<double>::infinity()},
                                 {.scale = std::nan("")},
                                 {.iteration = -1},
                                 {.iteration = 5, .last_overflow_iter = 5},
                                 {.iteration = 5, .last_overflow_iter = -2},
                                 {.hysteresis = 0}};
  for (const auto& state : bad) {
    LossScaler scaler(small());
    EXPECT_THROW(scaler.set_state(state), CheckpointError);
    EXPECT_EQ(scaler.scale(), 16);
  }
}

}  // namespace
}  // namespace zt::optim
