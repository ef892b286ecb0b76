#include "train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/test_folder.h"
#include "train/metrics_file.h"
#include "train/not_finite.h"
#include "train/progress.h"
#include "train/results.h"

namespace zt::train {
namespace {

StepRecord record() {
  return {.step = 3,
          .epoch = 0.75,
          .loss = 2.5,
          .grad_norm = 1.25,
          .learning_rate = 2e-4,
          .tokens = 4096,
          .tokens_per_second = 12345.0,
          .peak_memory = {3 << 20},
          .elapsed = 30.0,
          .skipped = false};
}

TEST(MetricsTest, LineHoldsEveryFieldInOrder) {
  EXPECT_EQ(to_json_line(record()),
            R"({"step":3,"epoch":0.75,"loss":2.5,"grad_norm":1.25,"learning_rate":0.0002,)"
            R"("tokens":4096,"tokens_per_second":12345.0,"peak_memory":3145728,"skipped":false})");
}

TEST(NotFiniteTest, LossesThatAreNoNumbersAreNamedWithTheStepAndWhatToDo) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  auto r = record();
  EXPECT_EQ(loss_warning(r), "");
  r.loss = -nan;
  const auto applied = loss_warning(r);
  EXPECT_EQ(applied.find("step 3: the loss is not finite: got nan, "), 0U) << applied;
  EXPECT_NE(applied.find("--learning_rate"), std::string::npos);
  r.skipped = true;
  EXPECT_EQ(loss_warning(r), "") << "a skipped step has its own warning";

  EXPECT_EQ(evaluation_warning(7, {.loss = 3}), "");
  const auto evaluated = evaluation_warning(7, {.loss = -nan});
  EXPECT_EQ(evaluated.find("step 7: the loss of the evaluation is not finite: got nan, "), 0U);
  EXPECT_EQ(evaluation_warning(0, {.loss = HUGE_VAL}).find("the loss of"), 0U);
  EXPECT_FALSE(std::signbit(without_sign_of_nan(-nan)));
  EXPECT_EQ(without_sign_of_nan(-2.5), -2.5);
}

TEST(MetricsTest, TheLossScaleIsThereInFp16Only) {
  auto r = record();
  r.loss_scale = 65536;
  EXPECT_EQ(nlohmann::json::parse(to_json_line(r))["loss_scale"].get<double>(), 65536);
  EXPECT_NE(Progress({.total_steps = 9}, stdout).describe(r).find(" loss_scale 65536 "),
            std::string::npos);
}

TEST(MetricsTest, LossSurvivesTheTextExactly) {
  auto r = record();
  r.loss = 10.397207736968994;
  EXPECT_EQ(nlohmann::json::parse(to_json_line(r))["loss"].get<double>(), r.loss);
}

TEST(MetricsTest, NonFiniteNumbersAreNull) {
  auto r = record();
  r.grad_norm = std::numeric_limits<double>::quiet_NaN();
  r.loss = std::numeric_limits<double>::infinity();
  const auto json = nlohmann::json::parse(to_json_line(r));
  EXPECT_TRUE(json["grad_norm"].is_null());
  EXPECT_TRUE(json["loss"].is_null());
}

TEST(MetricsTest, FileHasOneLinePerStepAndStartsAnew) {
  const TestFolder folder;
  const auto path = folder.path("file");
  for (int run = 0; run < 2; ++run) {
    MetricsFile file(path);
    file.on_step(record());
    file.on_step(record());
  }
  std::ifstream in(path);
  int lines = 0;
  for (std::string line; std::getline(in, line);) ++lines;
  EXPECT_EQ(lines, 2);
}

TEST(ResultsTest, EvalResultsHaveSortedKeysAndRounding) {
  const EvalResult result{
      .loss = 0.0, .tokens = 100, .samples = 10, .batches = 5, .seconds = 3.14159265};
  EXPECT_EQ(eval_results_json(result, 1.0),
            "{\n    \"epoch\": 1.0,\n    \"eval_loss\": 0.0,\n    \"eval_runtime\": 3.1416,\n"
            "    \"eval_samples\": 10,\n    \"eval_samples_per_second\": 3.183,\n"
            "    \"eval_steps_per_second\": 1.592,\n    \"perplexity\": 1.0\n}");
}

TEST(ResultsTest, PerplexityOverflowsToInfinity) { EXPECT_TRUE(std::isinf(perplexity(1000))); }

TEST(ResultsTest, MergedResultsHoldBothObjects) {
  const auto merged = nlohmann::json::parse(
      merge_results_json({train_results_json({.epoch = 1, .steps = 4, .seconds = 2}),
                          eval_results_json({.loss = 1}, 2.0)}));
  EXPECT_EQ(merged["train_steps_per_second"], 2.0);
  EXPECT_EQ(merged["eval_loss"], 1.0);
  EXPECT_EQ(merged["epoch"], 2.0);
}

TEST(ProgressTest, DurationsAndCountsAreShort) {
  EXPECT_EQ(format_duration(62.4), "1:02");
  EXPECT_EQ(format_duration(3723), "1:02:03");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(format_count(789), "789");
  EXPECT_EQ(format_count(45600), "45.6k");
  EXPECT_EQ(format_count(1.234e6), "1.23M");
}

TEST(ProgressTest, LineShowsRemainingTimeFromTheMeanStep) {
  const Progress progress({.total_steps = 9}, stdout);
  const auto text = progress.describe(record());
  EXPECT_EQ(text,
            "step 3/9 epoch 0.75 loss 2.5000 lr 0.0002 grad_norm 1.250 12.3k tok/s peak 3.0 MiB "
            "ETA 1:00");
}

TEST(ProgressTest, MfuIsPerRankAgainstTheNamedPeak) {
  const Progress progress(
      {.total_steps = 9, .flops_per_token = kMfuPeakFlops / 12345.0, .world = 2, .show_mfu = true},
      stdout);
  EXPECT_NE(progress.describe(record()).find("MFU 50.0%"), std::string::npos);
}

std::string shown(bool terminal, bool logged) {
  std::FILE* out = std::tmpfile();
  Progress progress({.total_steps = 6, .terminal = terminal}, out);
  progress.on_step(record());
  if (logged) progress.on_log({.step = record(), .loss = 2.75});
  progress.on_end({});
  std::string text(static_cast<std::size_t>(std::ftell(out)), '\0');
  std::rewind(out);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), out), text.size());
  std::fclose(out);
  return text;
}

TEST(ProgressTest, PlainOutputHasALinePerLoggedStepOnly) {
  EXPECT_EQ(shown(false, false), "");
  const auto text = shown(false, true);
  EXPECT_EQ(text.rfind("step 3/6", 0), 0u);
  EXPECT_NE(text.find("loss 2.7500"), std::string::npos) << "the mean since the last log";
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(text.find('\r'), std::string::npos);
}

TEST(ProgressTest, TerminalShowsABarOnEveryStep) {
  EXPECT_EQ(shown(true, false).rfind("\r[##########..........] step 3/6", 0), 0u);
}

}  // namespace
}  // namespace zt::train
