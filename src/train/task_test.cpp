#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/test_folder.h"
#include "train/generation_settings.h"
#include "train/test_task.h"
#include "train/trained_weights.h"

namespace zt::train {
namespace {

namespace fs = std::filesystem;

class TaskTest : public ::testing::Test {
 protected:
  TaskTest() {
    fs::create_directories(path("model"));
    fs::create_directories(path("out"));
    config_.model.model_name_or_path = path("model");
    config_.run.output_dir = path("out");
  }

  void write(const std::string& name, const std::string& text) const { folder_.write(name, text); }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path(name); }
  [[nodiscard]] std::string refusal() const {
    try {
      (void)find_trained_weights(config_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TestFolder folder_;
  config::Config config_;
};

TEST_F(TaskTest, WeightsComeFromTheNearestPlaceThatHasThem) {
  EXPECT_NE(refusal().find("there are no trained weights"), std::string::npos);
  write("model/model.safetensors", "x");
  EXPECT_EQ(find_trained_weights(config_).folder, path("model"));
  write("out/checkpoint-9/zt_manifest.json", "{}");
  write("out/checkpoint-10/zt_manifest.json", "{}");
  EXPECT_EQ(find_trained_weights(config_).folder, path("out/checkpoint-10"));
  write("out/model.safetensors", "x");
  EXPECT_EQ(find_trained_weights(config_).folder, path("out"));
  config_.checkpoint.init_from = path("model");
  EXPECT_EQ(find_trained_weights(config_).found_as, "--init_from");
  config_.checkpoint.resume_from = "latest";
  EXPECT_EQ(find_trained_weights(config_).folder, path("out/checkpoint-10"));
  config_.checkpoint.resume_from = path("out");
  EXPECT_EQ(find_trained_weights(config_).folder, path("out/checkpoint-10"));
}

TEST_F(TaskTest, ANamedFolderWithoutACheckpointIsRefused) {
  write("model/model.safetensors", "x");
  config_.checkpoint.resume_from = path("nothing");
  EXPECT_NE(refusal().find("got no checkpoint in " + path("nothing")), std::string::npos);
  config_.checkpoint.resume_from = "latest";
  EXPECT_NE(refusal().find("got no checkpoint in " + path("out")), std::string::npos);
  config_.checkpoint.resume_from = path("model");
  EXPECT_EQ(refusal(), "");
}

TEST_F(TaskTest, FreshWeightsAreNotTested) {
  write("model/model.safetensors", "x");
  config_.model.from_scratch = true;
  EXPECT_NE(refusal().find("got --from_scratch and nothing saved"), std::string::npos);
}

TEST_F(TaskTest, ATestEvaluatesTheTestTextWithTheTrainedWeights) {
  write("out/model.safetensors", "x");
  config_.test.test_file_dir = "texts";
  config_.checkpoint.resume_from = "";
  use_trained_weights(config_);
  EXPECT_EQ(config_.checkpoint.init_from, path("out"));
  EXPECT_EQ(config_.data.validation_file_dir, "texts");
  EXPECT_FALSE(config_.run.do_train);
  EXPECT_TRUE(config_.run.do_eval);
}

TEST_F(TaskTest, ATestReportsAccuracyOverTargets) {
  const auto json = test_results_json(
      {.loss = 0, .tokens = 8, .samples = 2, .batches = 1, .seconds = 0.5, .hits = 6});
  for (const char* part : {"\"test_accuracy\": 0.75", "\"test_loss\": 0.0",
                           "\"test_perplexity\": 1.0", "\"test_samples\": 2"}) {
    EXPECT_NE(json.find(part), std::string::npos) << json;
  }
}

TEST_F(TaskTest, SettingsOfTheModelGiveWayToTheUsers) {
  const auto tokenizer = data::Tokenizer::load(fs::path(ZT_SOURCE_DIR) / "examples" / "tiny_qwen3");
  write("model/config.json", R"({"eos_token_id": 5})");
  config_.predict.max_new_tokens = 33;
  const auto plain = generation_settings(config_, tokenizer, 4096);
  EXPECT_EQ(plain.eos, std::vector<std::int32_t>{5});
  EXPECT_EQ(plain.max_new_tokens, 33);
  EXPECT_FALSE(plain.do_sample);

  write(
      "model/generation_config.json",
      R"({"do_sample": true, "top_k": 7, "top_p": 0.5, "eos_token_id": [1, 2], "max_length": 90})");
  config_.predict.top_k = 3;
  config_.origins["predict.top_k"] = {"--top_k", "command line"};
  const auto merged = generation_settings(config_, tokenizer, 4096);
  EXPECT_TRUE(merged.do_sample);
  EXPECT_TRUE(ignored_settings(config_, merged).empty());
  EXPECT_EQ(merged.top_k, 3);
  EXPECT_EQ(merged.top_p, 0.5);
  EXPECT_EQ(merged.eos, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(merged.max_new_tokens, 0);
  EXPECT_EQ(merged.max_length, 90);
}

TEST_F(TaskTest, ADrawingSettingIsNotedOnlyWhereNothingDraws) {
  config_.predict.top_k = 3;
  config_.origins["predict.top_k"] = {"--top_k", "command line"};
  EXPECT_EQ(ignored_settings(config_, {.do_sample = false}),
            std::vector<std::string>{"--top_k: no effect without do_sample (command line)"});
  EXPECT_TRUE(ignored_settings(config_, {.do_sample = true}).empty());
  config_.origins["predict.do_sample"] = {"--do_sample", "command line"};
  EXPECT_TRUE(ignored_settings(config_, {.do_sample = false}).empty()) << "said with the flags";
}

TEST_F(TaskTest, WithoutAnEosTheTokenizersEndsASequence) {
  const auto tokenizer = data::Tokenizer::load(fs::path(ZT_SOURCE_DIR) / "examples" / "tiny_qwen3");
  write("model/config.json", "{}");
  ASSERT_TRUE(tokenizer.eos_id().has_value());
  EXPECT_EQ(generation_settings(config_, tokenizer, 4096).eos,
            std::vector<std::int32_t>{*tokenizer.eos_id()});
  config_.model.model_name_or_path = "mamba-130m";  // a name has no files
  EXPECT_EQ(generation_settings(config_, tokenizer, 4096).eos,
            std::vector<std::int32_t>{*tokenizer.eos_id()});
}

}  // namespace
}  // namespace zt::train
