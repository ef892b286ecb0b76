#include "train/resume.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/test_folder.h"
#include "config/fields.h"
#include "train/metrics_file.h"
#include "train/stop_signals.h"

namespace zt::train {
namespace {

class NoTensors : public checkpoint::StateSource {
 public:
  explicit NoTensors(checkpoint::RunState state) : state_(std::move(state)) {}
  [[nodiscard]] bool has(layout::StateKind /*kind*/) const override { return false; }
  void read(layout::StateKind /*kind*/, const layout::ParamSpec& /*param*/, std::int64_t /*begin*/,
            std::span<float> /*values*/) const override {}
  [[nodiscard]] const checkpoint::RunState& run_state() const override { return state_; }

 private:
  checkpoint::RunState state_;
};

class AdoptTest : public ::testing::Test {
 protected:
  AdoptTest() {
    config_.run.per_device_train_batch_size = 2;
    config_.run.gradient_accumulation_steps = 4;
  }
  /// Adopts a checkpoint of global batch 24 that `saved` configured on `saved_world` ranks.
  void adopt_saved(const config::Config& saved, int saved_world, int world) {
    Resume resume;
    resume.config = resume_config_json(saved, saved_world);
    resume.source = std::make_unique<NoTensors>(
        checkpoint::RunState{.global_batch = 24, .seed = 5, .data_seed = 9});
    adopt(config_, resume, world, [this](const std::string& line) { said_ += line + "\n"; });
  }
  config::Config config_;
  std::string said_;
};

TEST_F(AdoptTest, TheGlobalBatchStaysByAccumulationAndIsSaid) {
  adopt_saved(config_, 3, 3);
  EXPECT_EQ(config_.run.gradient_accumulation_steps, 4);
  EXPECT_EQ(said_.find("global batch"), std::string::npos);
  adopt_saved(config_, 3, 6);
  EXPECT_EQ(config_.run.gradient_accumulation_steps, 2);
  EXPECT_NE(said_.find("the global batch stays 24 sequences: 2 per rank x 6 ranks x 2"),
            std::string::npos);
}

TEST_F(AdoptTest, RanksThatDoNotDivideTheBatchAreToldWhatDoes) {
  config_.run.per_device_train_batch_size = 5;
  try {
    adopt_saved(config_, 3, 4);
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("With 4 ranks use --per_device_train_batch_size 1, 2"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(adopt_saved(config_, 3, 7), ConfigError);
}

TEST_F(AdoptTest, SeedsAreThoseOfTheCheckpoint) {
  adopt_saved(config_, 3, 3);
  EXPECT_EQ(config_.run.seed, 5U);
  EXPECT_EQ(config_.data.data_seed, 9U);
  EXPECT_NE(said_.find("--data_seed stays 9"), std::string::npos);
}

TEST_F(AdoptTest, ADifferentEpochAtTheSameStepIsWarnedOf) {
  const auto warning = [](double epoch, const data::SamplerOptions& options) {
    Resume resume;
    resume.folder = "out/checkpoint-6";
    resume.source =
        std::make_unique<NoTensors>(checkpoint::RunState{.global_step = 6, .epoch = epoch});
    return place_warning(resume, data::Sampler(options));
  };
  // 10 samples, 4 a step: 3 steps an epoch on any number of ranks, and 2 or 3 when the last batches
  // are dropped.
  for (const bool drop : {false, true}) {
    const data::SamplerOptions four{.num_samples = 10, .world = 4, .drop_last = drop};
    const data::SamplerOptions two{
        .num_samples = 10, .world = 2, .accumulation = 2, .drop_last = drop};
    const auto saved = data::Sampler(four).epoch_at(6);
    EXPECT_EQ(warning(saved, four), "");
    EXPECT_EQ(warning(saved, two).empty(), !drop) << warning(saved, two);
  }
  EXPECT_NE(
      warning(2.0, {.num_samples = 20, .world = 4}).find("was epoch 2.0000 when it was saved"),
      std::string::npos);
  EXPECT_EQ(warning(0, {.num_samples = 20, .world = 4}), "") << "unknown";
}

TEST_F(AdoptTest, WhatAutoHadBecomeIsKeptInARunOfTheSameShapeOnly) {
  auto saved = config_;
  saved.zero.coalesce = 4;
  saved.zero.reduce_at = ReduceAt::boundary;
  saved.zero.recompute = Recompute::selective;
  const auto mine = config_;
  adopt_saved(saved, 3, 3);
  EXPECT_EQ(config_.zero.coalesce, 4);
  EXPECT_EQ(config_.zero.reduce_at, ReduceAt::boundary);
  EXPECT_EQ(config_.zero.recompute, Recompute::selective);
  config_ = mine;
  adopt_saved(saved, 3, 6);
  EXPECT_EQ(config_.zero.coalesce, 0);
  EXPECT_FALSE(config_.zero.reduce_at.has_value());
  config_ = mine;
  config_.zero.coalesce = 2;  // asked for by the user
  adopt_saved(saved, 3, 3);
  EXPECT_EQ(config_.zero.coalesce, 2);
}

TEST(BestOfTest, ReadsTheBestModelOfATrainerState) {
  const auto best = best_of(
      R"({"best_metric": 1.5, "best_global_step": 20, "best_model_checkpoint": "out/checkpoint-20"})");
  EXPECT_EQ(best.metric, 1.5);
  EXPECT_EQ(best.step, 20);
  EXPECT_EQ(best.folder, "out/checkpoint-20");
  EXPECT_EQ(best_of(R"({"log_history": [{"grad_norm": NaN, "loss": Infinity, "step": 1}],
                        "best_metric": 2.5, "best_global_step": 4, "best_model_checkpoint": "x"})")
                .step,
            4)
      << "steps that were skipped are in the log history as Python writes them";
  EXPECT_EQ(best_of(R"({"best_metric": null, "best_global_step": null})").step, 0);
  EXPECT_EQ(best_of("").step, 0);
}

TEST(KeptLinesTest, AResumedRunCutsItsMetricsToTheStep) {
  const TestFolder folder;
  const auto path = folder.path("metrics.jsonl");
  {
    MetricsFile file(path);
    for (int step = 1; step <= 5; ++step) file.on_step({.step = step, .loss = 1.0 / step});
  }
  std::ofstream(path, std::ios::app) << R"({"step": 6, "lo)";
  const auto losses = read_losses(path, 1, 3);
  ASSERT_EQ(losses.size(), 2U);
  EXPECT_EQ(losses[1].loss, 1.0 / 3);
  EXPECT_TRUE(read_losses(path, 3, 9).empty());
  { MetricsFile(path, 3).on_step({.step = 4, .loss = 7}); }
  std::ifstream file(path);
  std::string text;
  std::vector<std::string> lines;
  while (std::getline(file, text)) lines.push_back(text);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_NE(lines[2].find("\"step\":3,"), std::string::npos);
  EXPECT_NE(lines[3].find("\"loss\":7.0"), std::string::npos);
}

TEST(StopSignalsTest, ArmedSignalsAreWishesAndAnUnarmedOneEndsTheProcess) {
  const auto wait = [](const auto& condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
  };
  {
    StopSignals signals;
    signals.arm(true);
    EXPECT_EQ(signals.stop_signal(), 0);
    ::kill(::getpid(), SIGUSR1);
    bool wished = false;
    EXPECT_TRUE(wait([&] { return wished = wished || signals.take_save_wish(); }));
    EXPECT_FALSE(signals.take_save_wish());
    ::kill(::getpid(), SIGTERM);
    EXPECT_TRUE(wait([&] { return signals.stop_signal() == SIGTERM; }));
  }
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(
      {
        StopSignals signals;
        ::kill(::getpid(), SIGTERM);
        std::this_thread::sleep_for(std::chrono::seconds(10));
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace zt::train
