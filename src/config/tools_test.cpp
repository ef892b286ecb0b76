#include "config/tools.h"

#include <gtest/gtest.h>

#include "config/config_test_files.h"
#include "config/fields.h"

namespace zt::config {
namespace {

class ConfigToolsTest : public testing::Test {
 protected:
  TestFiles files_;
  Facts facts_;
};

TEST_F(ConfigToolsTest, CheckShowsWhatAFileSetsAndWhere) {
  const std::string path = files_.write("x.yaml", "training:\n  lr: 1e-3\n");
  const std::string report = check_file(path, facts_);
  EXPECT_TRUE(contains(report, "valid task file")) << report;
  EXPECT_TRUE(contains(report, "optimizer.learning_rate = 0.001  (training.lr, " + path + ":2)"))
      << report;
  EXPECT_FALSE(contains(report, "zero.stage"));
}

TEST_F(ConfigToolsTest, CheckNamesTheKindAndTheWorldSizeDecidesTheBatch) {
  const std::string path =
      files_.write("d.json",
                   "{\"train_batch_size\": 8, \"train_micro_batch_size_per_gpu\": 2, "
                   "\"gradient_accumulation_steps\": 1, \"zero_optimization\": {\"stage\": 1}}");
  EXPECT_TRUE(contains(check_file(path, facts_), "valid DeepSpeed configuration"));
  facts_.world_size = 4;
  EXPECT_TRUE(contains(check_file(path, facts_), "run.per_device_train_batch_size = 2"));
  facts_.world_size = 3;
  EXPECT_TRUE(
      contains(config_error([&] { (void)check_file(path, facts_); }), "train_batch_size: got 8"));
  EXPECT_TRUE(contains(config_error([&] { (void)check_file(files_.path("none"), facts_); }),
                       "no such file"));
  const std::string list = files_.write("list.json", "[1]");
  EXPECT_TRUE(contains(config_error([&] { (void)check_file(list, facts_); }), "expected a map"));
}

TEST_F(ConfigToolsTest, ExplainKnowsEveryNameOfAKey) {
  for (const char* name :
       {"zero_optimization.stage", "zero.stage", "--learning_rate", "learning-rate", "training.lr",
        "predict.top_p", "bfloat16", "fsdp_sharding_strategy", "optimizer.params.lr",
        "zero_optimization.offload_optimizer", "--num_gpus", "shape.d_model"}) {
    EXPECT_EQ(config_error([&] { (void)explain(name, "", facts_); }), "") << name;
  }
  const std::string text = explain("zero_optimization.stage", "", facts_);
  EXPECT_TRUE(contains(text, "memory   per parameter and rank")) << text;
  EXPECT_TRUE(contains(text, "<= 3")) << text;
  EXPECT_TRUE(contains(config_error([&] { (void)explain("lerning_rate", "", facts_); }),
                       "The nearest key is learning_rate"));
}

TEST_F(ConfigToolsTest, ExplainShowsValueAndOriginInAFile) {
  const std::string path = files_.write("x.yaml", "training:\n  lr: 1e-3\n");
  const std::string text = explain("--learning_rate", path, facts_);
  EXPECT_TRUE(contains(text, "value    0.001  (training.lr, " + path + ":2)")) << text;
  EXPECT_TRUE(contains(explain("zero.stage", path, facts_), "value    0  (default)"));
}

TEST_F(ConfigToolsTest, EveryFieldOfTheEffectsExists) {
  for (const Effect& effect : effects()) EXPECT_STREQ(field_at(effect.field).path, effect.field);
}

TEST_F(ConfigToolsTest, MigrateSaysForEveryKeyWhatBecomesOfIt) {
  using Fate = Migration::Fate;
  const std::string path = files_.write("d.json",
                                        "{\"zero_optimization\": {\n\"stage\": 2,\n"
                                        "\"contiguous_gradients\": true},\n"
                                        "\"gradient_clipping\": \"auto\",\n"
                                        "\"sparse_gradients\": true,\n"
                                        "\"wandb\": {\"enabled\": true},\n"
                                        "\"elasticity\": {\"enabled\": true}}");
  const auto lines = migrate_file(path, facts_);
  ASSERT_EQ(lines.size(), 6U);
  EXPECT_EQ(lines[0].fate, Fate::maps);
  EXPECT_EQ(lines[0].place, path + ":2");
  EXPECT_TRUE(contains(lines[0].text, "zero.stage"));
  EXPECT_EQ(lines[1].fate, Fate::ignored);
  EXPECT_TRUE(contains(lines[2].text, "--max_grad_norm"));
  EXPECT_EQ(lines[3].fate, Fate::refused);
  EXPECT_EQ(lines[4].fate, Fate::ignored);
  EXPECT_EQ(lines[5].fate, Fate::refused);
}

TEST_F(ConfigToolsTest, MigrateReadsTaskAndAccelerateFiles) {
  const std::string task =
      files_.write("x.yaml", "training:\n  lr: 1\n  oops: 2\nnum_workers: 3\n");
  const auto lines = migrate_file(task, facts_);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_TRUE(contains(lines[0].text, "--learning_rate"));
  EXPECT_EQ(lines[1].fate, Migration::Fate::refused);
  EXPECT_EQ(lines[2].fate, Migration::Fate::ignored);
  const std::string accelerate =
      files_.write("a.yaml", "distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero_stage: 3\n");
  EXPECT_TRUE(contains(migrate_file(accelerate, facts_)[1].text, "--zero_stage"));
}

TEST_F(ConfigToolsTest, TheQuestionnaireWritesAFileThatIsValid) {
  const auto defaults = [](const std::string&, const std::vector<std::string>&,
                           const std::string&) { return std::string(); };
  const std::string text = ask_configuration(defaults);
  EXPECT_TRUE(contains(text, "zero_stage: 2")) << text;
  EXPECT_TRUE(contains(check_file(files_.write("zt.yaml", text), facts_),
                       "valid accelerate configuration"));
  const auto fsdp = [](const std::string& question, const std::vector<std::string>&,
                       const std::string&) -> std::string {
    if (contains(question, "DeepSpeed")) return "no";
    if (contains(question, "use FSDP")) return "yes";
    if (contains(question, "strategy")) return "1";
    return "";
  };
  const Config config =
      resolve(files_.args({"--config_file", files_.write("f.yaml", ask_configuration(fsdp))}));
  EXPECT_EQ(config.zero.stage, 2);
  EXPECT_EQ(config.precision.compute, DType::bf16);
  const auto wrong = [](const std::string&, const std::vector<std::string>&, const std::string&) {
    return std::string("what");
  };
  EXPECT_TRUE(contains(config_error([&] { (void)ask_configuration(wrong); }), "[config.init]"));
}

}  // namespace
}  // namespace zt::config
