#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/test_folder.h"
#include "checkpoint/deepspeed.h"
#include "checkpoint/deepspeed_write.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using layout::ParamSpec;
using layout::StateKind;

/// Sizes that no world size divides, in an order that is not DeepSpeed's.
std::vector<ParamSpec> small_model() {
  return {{.name = "model.embed_tokens.weight", .shape = {13, 3}, .aliases = {"lm_head.weight"}},
          {.name = "model.layers.0.input_layernorm.weight", .shape = {3}, .decay = false},
          {.name = "model.layers.0.mlp.up_proj.weight", .shape = {7, 3}},
          {.name = "model.layers.0.self_attn.q_proj.weight", .shape = {5, 3}},
          {.name = "model.layers.10.self_attn.q_proj.weight", .shape = {1, 3}},
          {.name = "model.layers.2.self_attn.q_proj.weight", .shape = {1, 3}},
          {.name = "model.norm.weight", .shape = {3}, .decay = false}};
}

float value_of(StateKind kind, const ParamSpec& param, std::int64_t element) {
  const auto name = static_cast<float>(std::hash<std::string>()(param.name) % 97);
  return name + static_cast<float>(element) / 64 + 1000 * static_cast<float>(kind);
}

/// Values that follow from kind, name and position.
class FormulaSource : public StateSource {
 public:
  explicit FormulaSource(bool master = true) : master_(master) {
    state_.global_step = 12;
    state_.applied_steps = 11;
    state_.samples_seen = 96;
    state_.global_batch = 8;
    state_.epoch = 0.25;
    state_.seed = ~std::uint64_t{0};
    state_.trainer_state = "{\"log_history\": []}";
  }
  [[nodiscard]] bool has(StateKind kind) const override {
    return kind != StateKind::master || master_;
  }
  void read(StateKind kind, const ParamSpec& param, std::int64_t begin,
            std::span<float> values) const override {
    // A weight is its rounded master; these values need no rounding.
    const auto source = kind == StateKind::weight ? StateKind::master : kind;
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = value_of(source, param, begin + static_cast<std::int64_t>(i));
    }
  }
  [[nodiscard]] const RunState& run_state() const override { return state_; }

  RunState state_;

 private:
  bool master_;
};

class DeepSpeedTest : public ::testing::Test {
 protected:
  [[nodiscard]] DeepSpeedSave save(DeepSpeedLayout layout, int world) const {
    DeepSpeedSave save;
    save.folder = folder_.string();
    save.layout = layout;
    save.world = world;
    return save;
  }
  void expect_equal(const std::vector<ParamSpec>& params) const {
    const DeepSpeedCheckpoint checkpoint(folder_.string());
    EXPECT_NO_THROW(checkpoint.check(params));
    EXPECT_TRUE(checkpoint.verify().empty());
    for (const auto kind :
         {StateKind::weight, StateKind::master, StateKind::exp_avg, StateKind::exp_avg_sq}) {
      const auto source = kind == StateKind::weight ? StateKind::master : kind;
      for (const auto& param : params) {
        std::vector<float> values(static_cast<std::size_t>(param.numel().value));
        checkpoint.read(kind, param, 0, values);
        for (std::size_t i = 0; i < values.size(); ++i) {
          ASSERT_EQ(values[i], value_of(source, param, static_cast<std::int64_t>(i))) << param.name;
        }
        if (values.size() < 3) continue;
        std::vector<float> slice(2);
        checkpoint.read(kind, param, 1, slice);
        EXPECT_TRUE(std::equal(slice.begin(), slice.end(), values.begin() + 1));
      }
    }
  }
  [[nodiscard]] std::string failure() const {
    try {
      const DeepSpeedCheckpoint checkpoint(folder_.string());
    } catch (const CheckpointError& error) {
      return error.what();
    }
    return "";
  }
  TestFolder files_;
  const fs::path folder_ = files_.root();
};

TEST_F(DeepSpeedTest, WhatIsWrittenIsReadAtEveryLayoutWorldAndGrouping) {
  const auto params = small_model();
  for (const auto layout :
       {DeepSpeedLayout::stage1, DeepSpeedLayout::stage2, DeepSpeedLayout::stage3}) {
    for (const int world : {1, 2, 3, 5, 8}) {
      for (const bool one_group : {true, false}) {
        auto options = save(layout, world);
        options.adam.one_group = one_group;
        options.sub_group_size = world == 3 ? 6 : 1'000'000'000;
        const auto folder = write_deepspeed(FormulaSource(), params, options, exchange_alone());
        EXPECT_EQ(fs::path(folder).filename(), "global_step12");
        expect_equal(params);
        fs::remove_all(folder);
      }
    }
  }
}

TEST_F(DeepSpeedTest, ARunWithoutSeparateMastersKeepsItsWeights) {
  const auto params = small_model();
  (void)write_deepspeed(FormulaSource(false), params, save(DeepSpeedLayout::stage2, 2),
                        exchange_alone());
  expect_equal(params);
}

TEST_F(DeepSpeedTest, TheRunsNumbersComeBack) {
  auto options = save(DeepSpeedLayout::stage1, 2);
  options.dtype = DType::f16;
  options.adam = {.learning_rate = 0.5, .beta1 = 0.8, .weight_decay = 0.1, .one_group = false};
  FormulaSource source;
  source.state_.loss_scaler = optim::LossScalerState{1024, 12, 3, 1};
  (void)write_deepspeed(source, small_model(), options, exchange_alone());
  const DeepSpeedCheckpoint checkpoint(folder_.string());
  const auto& run = checkpoint.run_state();
  EXPECT_EQ(run.global_step, 12);
  EXPECT_EQ(run.applied_steps, 11);
  EXPECT_EQ(run.samples_seen, 96);
  EXPECT_EQ(run.global_batch, 8);
  EXPECT_EQ(run.epoch, 0.25);
  EXPECT_EQ(run.seed, ~std::uint64_t{0});
  EXPECT_EQ(run.trainer_state, source.state_.trainer_state);
  ASSERT_TRUE(run.loss_scaler);
  EXPECT_EQ(run.loss_scaler->scale, 1024);
  EXPECT_EQ(run.loss_scaler->iteration, 12);
  EXPECT_EQ(run.loss_scaler->last_overflow_iter, 3);
  EXPECT_EQ(run.loss_scaler->hysteresis, 1);
  ASSERT_TRUE(checkpoint.adam());
  EXPECT_EQ(checkpoint.adam()->learning_rate, 0.5);
  EXPECT_EQ(checkpoint.adam()->beta1, 0.8);
  EXPECT_EQ(checkpoint.adam()->weight_decay, 0.1);
  EXPECT_FALSE(checkpoint.adam()->one_group);
  EXPECT_EQ(checkpoint.weight_dtype(), DType::f16);
}

TEST_F(DeepSpeedTest, GroupsFollowTheModulesOfTransformers) {
  const auto params = small_model();
  DeepSpeedSave one;
  const auto groups = deepspeed_groups(params, one);
  ASSERT_EQ(groups.size(), 1U);
  std::vector<std::string> names;
  for (const auto* param : groups[0].params) names.push_back(param->name);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                       "model.layers.0.mlp.up_proj.weight", "model.layers.0.input_layernorm.weight",
                       "model.layers.2.self_attn.q_proj.weight",
                       "model.layers.10.self_attn.q_proj.weight", "model.norm.weight"}));
  DeepSpeedSave two;
  two.adam.one_group = false;
  EXPECT_EQ(deepspeed_groups(params, two).at(1).params.size(), 2U);
}

TEST_F(DeepSpeedTest, ATagNamesTheFolderAndLatestNamesTheTag) {
  auto options = save(DeepSpeedLayout::stage3, 2);
  options.tag = "final";
  (void)write_deepspeed(FormulaSource(), small_model(), options, exchange_alone());
  std::string text;
  std::getline(std::ifstream(folder_ / "latest"), text);
  EXPECT_EQ(text, "final");
  EXPECT_EQ(find_deepspeed(folder_.string()).tag, "final");
  EXPECT_EQ(find_deepspeed((folder_ / "final").string()).folder, (folder_ / "final").string());
  EXPECT_THROW((void)find_deepspeed(folder_.string(), "../final"), CheckpointError);
  std::ofstream(folder_ / "latest.writing") << "global_st";  // of a run that died there
  options.tag = "after";
  (void)write_deepspeed(FormulaSource(), small_model(), options, exchange_alone());
  EXPECT_EQ(find_deepspeed(folder_.string()).tag, "after");
  options.tag = "../elsewhere";
  EXPECT_THROW((void)write_deepspeed(FormulaSource(), small_model(), options, exchange_alone()),
               CheckpointError);
}

TEST_F(DeepSpeedTest, OnlyOurFoldersWithoutTheirCheckpointAreRemoved) {
  FormulaSource source;
  for (const int step : {4, 8, 12}) {
    source.state_.global_step = step;
    (void)write_deepspeed(source, small_model(), save(DeepSpeedLayout::stage2, 2),
                          exchange_alone());
  }
  fs::create_directory(folder_ / "checkpoint-8");
  fs::create_directory(folder_ / "someone_elses");
  fs::create_directory(folder_ / ".global_step2.partial");
  EXPECT_EQ(list_own_deepspeed(folder_.string()).size(), 3U);
  EXPECT_EQ(remove_outdated_deepspeed(folder_.string()).size(), 2U);
  EXPECT_FALSE(fs::exists(folder_ / "global_step4"));  // step 12 is what `latest` names
  EXPECT_FALSE(fs::exists(folder_ / ".global_step2.partial"));
  for (const char* name : {"global_step8", "global_step12", "someone_elses", "checkpoint-8"}) {
    EXPECT_TRUE(fs::exists(folder_ / name)) << name;
  }
}

TEST_F(DeepSpeedTest, AMissingOptimizerFileIsNamed) {
  const auto folder = write_deepspeed(FormulaSource(), small_model(),
                                      save(DeepSpeedLayout::stage2, 3), exchange_alone());
  fs::remove(fs::path(folder) / "zero_pp_rank_1_mp_rank_00_optim_states.pt");
  EXPECT_NE(failure().find("rank 1 of 3"), std::string::npos) << failure();
}

TEST_F(DeepSpeedTest, FilesOfTwoSavesAreNotMixed) {
  const auto folder = write_deepspeed(FormulaSource(), small_model(),
                                      save(DeepSpeedLayout::stage2, 2), exchange_alone());
  const auto file = fs::path(folder) / "zero_pp_rank_1_mp_rank_00_optim_states.pt";
  fs::copy_file(file, fs::path(folder) / "zero_pp_rank_2_mp_rank_00_optim_states.pt");
  EXPECT_NE(failure().find("more than 2 ranks"), std::string::npos) << failure();
  fs::rename(fs::path(folder) / "zero_pp_rank_2_mp_rank_00_optim_states.pt",
             fs::path(folder) / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt");
  EXPECT_NE(failure().find("two saves are mixed"), std::string::npos) << failure();
}

TEST_F(DeepSpeedTest, TensorParallelCheckpointsAreRefused) {
  const auto folder = write_deepspeed(FormulaSource(), small_model(),
                                      save(DeepSpeedLayout::stage1, 1), exchange_alone());
  fs::copy_file(fs::path(folder) / "mp_rank_00_model_states.pt",
                fs::path(folder) / "mp_rank_01_model_states.pt");
  EXPECT_NE(failure().find("tensor, pipeline or expert parallel"), std::string::npos);
}

TEST_F(DeepSpeedTest, AnotherModelIsRefusedWithEveryDifference) {
  (void)write_deepspeed(FormulaSource(), small_model(), save(DeepSpeedLayout::stage1, 1),
                        exchange_alone());
  auto other = small_model();
  other[2].shape = {3, 7};
  other[3].name = "model.layers.0.self_attn.k_proj.weight";
  try {
    DeepSpeedCheckpoint(folder_.string()).check(other);
    FAIL();
  } catch (const CheckpointError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("up_proj.weight: got [7, 3], expected [3, 7]"), std::string::npos) << text;
    EXPECT_NE(text.find("missing: model.layers.0.self_attn.k_proj.weight"), std::string::npos);
    EXPECT_NE(text.find("unexpected: model.layers.0.self_attn.q_proj.weight"), std::string::npos);
  }
}

TEST_F(DeepSpeedTest, AFailedWriteLeavesThePreviousCheckpoint) {
  (void)write_deepspeed(FormulaSource(), small_model(), save(DeepSpeedLayout::stage1, 2),
                        exchange_alone());
  class Failing : public FormulaSource {
    void read(StateKind kind, const ParamSpec& param, std::int64_t begin,
              std::span<float> values) const override {
      if (kind == StateKind::exp_avg_sq) throw CheckpointError("the disk is gone");
      FormulaSource::read(kind, param, begin, values);
    }
  };
  EXPECT_THROW((void)write_deepspeed(Failing(), small_model(), save(DeepSpeedLayout::stage3, 2),
                                     exchange_alone()),
               CheckpointError);
  expect_equal(small_model());
  EXPECT_FALSE(fs::exists(folder_ / ".global_step12.partial"));
}

}  // namespace
}  // namespace zt::checkpoint
