#include <gtest/gtest.h>

#include "config/config_test_files.h"

// Names and paths as people write them who come from other scripts.

namespace zt::config {
namespace {

class FlagNamesTest : public FlagsTest {};

TEST_F(FlagNamesTest, NamesOfOtherScriptsLeadToTheFlagAndFarOnesToTheList) {
  const std::pair<const char*, const char*> others[] = {
      {"--batch_size", "the flag for that is --per_device_train_batch_size"},
      {"--train_batch_size", "the flag for that is --per_device_train_batch_size"},
      {"--lr", "the flag for that is --learning_rate"},
      {"--epochs", "the flag for that is --num_train_epochs"},
      {"--max-seq-length", "the flag for that is --block_size"},
      {"--model_max_length", "the flag for that is --block_size"},
      {"--grad_clip", "the flag for that is --max_grad_norm"},
      {"--project_name", "the nearest valid flag is --project"},
      {"--gradual_unfreezing_of_layers", "zt help train lists all flags"}};
  for (const auto& [flag, text] : others) expect_error({flag, "1"}, text);
  EXPECT_TRUE(has_notice(resolved({"--token", "hf_x"}), "--token: no effect"));
  EXPECT_TRUE(has_notice(resolved({"--dtype", "bfloat16"}), "--dtype: no effect"));
}

TEST_F(FlagNamesTest, TheHomeFolderIsWrittenAsATildeToo) {
  Facts facts;
  facts.environment = {{"HOME", files_.path("data")}};
  const std::string home = files_.path("data");
  const Config config = resolve(files_.args({"--output_dir=~/out", "--cache_dir", "~"}), facts);
  EXPECT_EQ(config.run.output_dir, home + "/out");
  EXPECT_EQ(config.data.cache_dir, home);
  const std::string task = files_.write("data/t.yaml", "training:\n  output_dir: ~/from_file\n");
  EXPECT_EQ(resolve({"--config=~/t.yaml", "--model_name_or_path", files_.path("model"),
                     "--train_file_dir", files_.path("data")},
                    facts)
                .run.output_dir,
            home + "/from_file");
  EXPECT_EQ(resolve(files_.args({"--output_dir", "~other/out"}), facts).run.output_dir,
            "~other/out");
  const std::string disk =
      files_.write("ds.json", R"({"train_batch_size": 1, "zero_optimization": {"stage": 2,
                 "offload_optimizer": {"device": "nvme", "nvme_path": "~/disk"}}})");
  EXPECT_EQ(resolve(files_.args({"--deepspeed", disk}), facts).zero.optimizer_nvme_path,
            home + "/disk");
  facts.world_size = 1;
  EXPECT_EQ(from_deepspeed(disk, facts).zero.optimizer_nvme_path, home + "/disk");
}

TEST_F(FlagNamesTest, NumbersOfRanksAndMachinesBelowOneAreRefused) {
  expect_error({"--num_processes", "0"}, "--num_processes: got 0, expected a whole number >= 1");
  expect_error({"--num_processes", "-3", "--nproc", "1"}, "--num_processes: got -3");
  expect_error({"--num_machines", "0"}, "--num_machines: got 0, expected a whole number >= 1");
  EXPECT_EQ(resolved({"--num_processes", "3"}).launch.nproc, 3);
}

TEST_F(FlagNamesTest, FlagsThatThisRunDoesNotReadSaySo) {
  EXPECT_TRUE(has_notice(resolved({"--use_cpu", "--gpu_memory", "24GB"}),
                         "--gpu_memory: no effect on CPU ranks"));
  EXPECT_TRUE(has_notice(resolved({"--device", "H200"}), "--device: no effect without --dry_run"));
  EXPECT_FALSE(has_notice(resolved({"--device", "H200", "--dry_run"}), "--device"));
}

}  // namespace
}  // namespace zt::config
