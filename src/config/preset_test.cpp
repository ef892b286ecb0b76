#include "config/presets.h"

#include <gtest/gtest.h>

#include "config/config_test_files.h"
#include "config/resolve.h"
#include "config/told.h"

namespace zt::config {
namespace {

Facts facts() {
  Facts result;
  result.has_gpu = true;
  result.reads_data = false;
  return result;
}

std::string problems_of(const std::vector<std::string>& args, const Facts& given) {
  return config_error([&] { (void)resolve(args, given); });
}

TEST(PresetTest, APresetLiesBelowTheCommandLine) {
  const auto config = resolve({"--preset", "7b_mamba", "--gradient_accumulation_steps", "32",
                               "--dry_run", "--device", "H200", "--num_gpus", "2"},
                              facts());
  EXPECT_EQ(config.launch.nproc, 2);
  EXPECT_EQ(config.run.gradient_accumulation_steps, 32);
  EXPECT_EQ(config.run.per_device_train_batch_size, 1);
  EXPECT_EQ(config.run.max_steps, 200000);
  EXPECT_EQ(config.data.block_size, 4096);
  EXPECT_EQ(config.precision.compute, DType::f16);
  EXPECT_EQ(config.model.model_name_or_path,
            "mamba:d_model=4864,n_layers=45,vocab_size=50257,d_state=16,d_conv=4,expand=2,"
            "max_seq_length=4096");
  EXPECT_TRUE(config.model.from_scratch);
}

TEST(PresetTest, AnUnknownPresetListsTheKnownOnes) {
  const auto problems = problems_of({"--preset", "9b_mamba"}, facts());
  for (const auto& name : preset_names()) {
    EXPECT_TRUE(contains(problems, name)) << problems;
    EXPECT_NE(preset_text(name), nullptr);
  }
  EXPECT_EQ(preset_text("9b_mamba"), nullptr);
}

TEST(PresetTest, SizesHaveNoTokenizer) {
  auto given = facts();
  given.reads_data = true;
  const auto problems = problems_of({"--preset", "1b_mamba"}, given);
  EXPECT_TRUE(contains(problems, "tokenizer_name_or_path")) << problems;
  EXPECT_FALSE(contains(problems, "model_name_or_path is missing")) << problems;
}

TEST(PresetTest, WhatIsAskedToBeToldIsFoundAmongOtherFlags) {
  const auto told = read_told({"--preset", "7b_mamba", "--dry-run", "--device=H200"});
  EXPECT_TRUE(told.dry_run);
  EXPECT_FALSE(told.check_memory);
  EXPECT_EQ(told.device, "H200");
  EXPECT_TRUE(read_told({"--check_memory"}).check_memory);
  EXPECT_FALSE(read_told({"--dry_run", "False"}).dry_run);
  const auto config = resolve({"--preset", "1b_mamba", "--load_checkpoint", "old"}, facts());
  EXPECT_EQ(config.checkpoint.resume_from, "old");
}

}  // namespace
}  // namespace zt::config
