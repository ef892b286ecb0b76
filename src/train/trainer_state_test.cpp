#include "train/trainer_state.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/test_folder.h"
#include "train/csv_log.h"
#include "train/python_json.h"

namespace zt::train {
namespace {

using nlohmann::json;

StepRecord at(std::int64_t step) {
  return {.step = step,
          .epoch = 0.5,
          .loss = 2.0,
          .grad_norm = 1.5,
          .learning_rate = 1e-5,
          .tokens = 100};
}

TrainerStateFacts facts() {
  return {.max_steps = 4, .logging_steps = 2, .train_batch_size = 3, .flops_per_token = 6.0};
}

TEST(TrainerStateTest, CheckpointTextHasEveryKeyOfTransformersSorted) {
  TrainerState state(facts(), "");
  state.on_step(at(1));
  state.on_step(at(2));
  state.on_log({.step = at(2), .loss = 2.25});
  const auto text = state.checkpoint_text();
  EXPECT_EQ(text.rfind("{\n  \"best_global_step\": null,\n  \"best_metric\": null,\n", 0), 0u);
  EXPECT_EQ(text.substr(text.size() - 3), "\n}\n");
  const auto parsed = json::parse(text);
  EXPECT_EQ(parsed.size(), 20u);
  EXPECT_EQ(parsed["global_step"], 2);
  EXPECT_EQ(parsed["num_input_tokens_seen"], 200);
  EXPECT_EQ(parsed["total_flos"], 1200.0);
  EXPECT_EQ(parsed["log_history"],
            json::parse(R"([{"epoch": 0.5, "grad_norm": 1.5, "learning_rate": 1e-05,
                             "loss": 2.25, "step": 2}])"));
  const auto& control = parsed["stateful_callbacks"]["TrainerControl"]["args"];
  EXPECT_TRUE(control["should_save"]);
  EXPECT_FALSE(control["should_training_stop"]);
}

TEST(TrainerStateTest, ResumedHistoryGoesOnWhereTheCheckpointStood) {
  TrainerState first(facts(), "");
  first.on_step(at(1));
  first.on_log({.step = at(1), .loss = std::numeric_limits<double>::quiet_NaN()});
  first.set_best(1.25, 1, "out/checkpoint-1");
  TrainerState second(facts(), "");
  second.restore(first.checkpoint_text());
  EXPECT_EQ(second.checkpoint_text(), first.checkpoint_text());
  EXPECT_NE(second.checkpoint_text().find("\"loss\": NaN"), std::string::npos);
  second.on_step(at(2));
  second.on_log({.step = at(2), .loss = 3.0});
  const auto parsed = from_python_json(second.checkpoint_text(), "text");
  EXPECT_EQ(parsed["log_history"].size(), 2u);
  EXPECT_EQ(parsed["num_input_tokens_seen"], 200);
  EXPECT_EQ(parsed["best_metric"], 1.25);
}

TEST(TrainerStateTest, TextThatIsNoStateIsRefused) {
  TrainerState state(facts(), "");
  EXPECT_THROW(state.restore("{"), FileError);
  EXPECT_THROW(state.restore("[]"), FileError);
  EXPECT_THROW(state.restore("{\"log_history\": 3}"), FileError);
  EXPECT_THROW(state.restore(R"({"log_history": [], "num_input_tokens_seen": 5.9e66})"), FileError);
  EXPECT_THROW(state.restore(R"({"log_history": [], "best_metric": "0.1"})"), FileError);
}

TEST(TrainerStateTest, EndOfTheRunWritesTheFileAndTheLastEvaluationRewritesIt) {
  const TestFolder folder;
  const auto path = folder.path("file");
  TrainerState state(facts(), path);
  state.on_step(at(4));
  state.on_evaluate(at(2), {.loss = 2.0});
  EXPECT_FALSE(std::filesystem::exists(path));
  state.on_end({.epoch = 1, .steps = 4, .mean_loss = 2.5, .seconds = 2});
  const auto ended = json::parse(read_text_file(path));
  ASSERT_EQ(ended["log_history"].size(), 2u);
  EXPECT_EQ(ended["log_history"][1]["train_loss"], 2.5);
  EXPECT_TRUE(ended["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]);
  state.on_evaluate(at(4), {.loss = 1.0});
  EXPECT_EQ(json::parse(read_text_file(path))["log_history"].size(), 3u);
}

TEST(PythonJsonTest, WordsOfPythonSurviveBothWays) {
  const std::string text =
      "{\n  \"a\": [\n    NaN,\n    -Infinity,\n    Infinity\n  ],\n"
      "  \"b\": \"NaN \\\" Infinity\",\n  \"c\": {}\n}";
  const auto value = from_python_json(text, "text");
  EXPECT_TRUE(std::isnan(value["a"][0].get<double>()));
  EXPECT_EQ(value["b"], "NaN \" Infinity");
  EXPECT_EQ(to_python_json(value, 2), text);
}

TEST(PythonJsonTest, DeepNestingIsRefusedBeforeItFillsTheStack) {
  EXPECT_THROW((void)from_python_json(std::string(1'000'000, '['), "text"), FileError);
  EXPECT_EQ(from_python_json(std::string(60, '[') + std::string(60, ']'), "text").size(), 1u);
}

TEST(PythonJsonTest, LettersBeyondAsciiAreEscapedAsPythonDoes) {
  EXPECT_EQ(to_python_json(json("\xC3\xA4"), 2), "\"\\u00e4\"");
}

TEST(CsvLogTest, RowsHaveACellPerColumnOfTheHeading) {
  const TestFolder folder;
  const auto path = folder.path("file");
  CsvLog log(path);
  log.on_log({.step = at(2), .loss = 2.25});
  log.on_evaluate(at(2), {.loss = 0.0, .samples = 4, .seconds = 2});
  EXPECT_EQ(read_text_file(path),
            "step,epoch,loss,grad_norm,learning_rate,loss_scale,eval_loss,eval_perplexity,"
            "eval_runtime,eval_samples_per_second,eval_steps_per_second,train_loss,train_runtime,"
            "train_samples_per_second,train_steps_per_second,total_flos\n"
            "2,0.5,2.25,1.5,1e-05,,,,,,,,,,,\n"
            "2,0.5,,,,,0,1,2,2,0,,,,,\n");
}

}  // namespace
}  // namespace zt::train
