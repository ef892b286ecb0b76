#include <gtest/gtest.h>

#include "config/config_test_files.h"

namespace zt::config {
namespace {

constexpr const char* kTask = R"(
model:
  name_or_path: MODEL
data:
  train_file: DATA
  block_size: 128
training:
  output_dir: OUT
  batch_size: 2
  gradient_accumulation_steps: 4
  lr: 3e-4
  epochs: 2
  warmup_steps: 10
deepspeed:
  enabled: true
  zero_stage: 2
  bf16: true
  cpu_offload: true
  log_level: warning
num_workers: 4
pin_memory: true
test:
  test_file: DATA
  output_file: OUT/t.json
predict:
  prompts: PROMPTS
  max_new_tokens: 20
  do_sample: true
  top_p: 0.9
  batch_size: 3
)";

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), with);
    at += with.size();
  }
  return text;
}

class TaskFileTest : public testing::Test {
 protected:
  TaskFileTest() { files_.write("prompts.txt", "one\n"); }

  /// Writes x.yaml with the names of the folders filled in.
  std::string write(const std::string& text, const std::string& name = "x.yaml") const {
    std::string filled = replaced(text, "MODEL", files_.path("model"));
    filled = replaced(filled, "DATA", files_.path("data"));
    filled = replaced(filled, "OUT", files_.path("out"));
    return files_.write(name, replaced(filled, "PROMPTS", files_.path("prompts.txt")));
  }
  Config resolved(const std::string& text, const std::vector<std::string>& more = {},
                  const Facts& facts = {}) const {
    std::vector<std::string> args = {"--config", write(text)};
    args.insert(args.end(), more.begin(), more.end());
    return resolve(args, facts);
  }
  std::string error_of(const std::string& text, const std::vector<std::string>& more = {},
                       const Facts& facts = {}) const {
    return config_error([&] { (void)resolved(text, more, facts); });
  }
  /// `key (x.yaml:12)` of a field.
  std::string origin(const Config& config, const std::string& field) const {
    const Origin& from = config.origins.at(field);
    return from.key + " (" + replaced(from.place, files_.path("") + "", "") + ")";
  }
  TestFiles files_;
};

TEST_F(TaskFileTest, TheTaskFileBecomesTheSameFieldsWithItsLines) {
  const Config config = resolved(kTask);
  EXPECT_EQ(config.run.per_device_train_batch_size, 2);
  EXPECT_EQ(config.optimizer.learning_rate, 3e-4);
  EXPECT_EQ(config.run.num_train_epochs, 2);
  EXPECT_EQ(config.zero.stage, 2);
  EXPECT_EQ(config.precision.compute, DType::bf16);
  EXPECT_EQ(config.zero.optimizer_place, Place::host);
  EXPECT_EQ(config.run.log_level, "warning");
  EXPECT_EQ(origin(config, "optimizer.learning_rate"), "training.lr (x.yaml:11)");
  EXPECT_EQ(origin(config, "zero.stage"), "deepspeed.zero_stage (x.yaml:16)");
  EXPECT_EQ(origin(config, "zero.optimizer_place"), "deepspeed.cpu_offload (x.yaml:18)");
  EXPECT_EQ(origin(config, "precision.compute"), "deepspeed.bf16 (x.yaml:17)");
  EXPECT_TRUE(has_notice(config, "num_workers: no effect"));
}

TEST_F(TaskFileTest, TheCommandLineWinsOverTheFile) {
  const Config config = resolved(kTask, {"--learning_rate", "1e-3", "--zero_stage", "1"});
  EXPECT_EQ(config.optimizer.learning_rate, 1e-3);
  EXPECT_EQ(config.zero.stage, 1);
  EXPECT_EQ(config.origins.at("optimizer.learning_rate").place, "command line");
}

TEST_F(TaskFileTest, PrecisionOfTheCommandLineReplacesTheOneOfTheFile) {
  EXPECT_EQ(resolved(kTask, {"--fp16"}).precision.compute, DType::f16);
}

TEST_F(TaskFileTest, PredictionSettingsAreRead) {
  Facts facts;
  facts.task = Task::predict;
  const Config config = resolved(kTask, {}, facts);
  EXPECT_EQ(config.predict.prompts_file, files_.path("prompts.txt"));
  EXPECT_EQ(config.predict.max_new_tokens, 20);
  EXPECT_TRUE(config.predict.do_sample);
  EXPECT_EQ(config.predict.top_p, 0.9);
  EXPECT_EQ(config.predict.batch_size, 3);
  EXPECT_EQ(config.predict.seed, config.run.seed);
  EXPECT_FALSE(config.run.do_train);
  EXPECT_EQ(resolved(kTask,
                     {"--temperature", "0.5", "--top_k", "7", "--generation_seed", "3",
                      "--generation_batch_size", "9", "--predictions_file", "p.jsonl"},
                     facts)
                .predict.top_k,
            7);
}

TEST_F(TaskFileTest, TestSettingsAreRead) {
  Facts facts;
  facts.task = Task::test;
  const Config config = resolved(kTask, {}, facts);
  EXPECT_EQ(config.test.test_file_dir, files_.path("data"));
  EXPECT_EQ(config.test.output_file, files_.path("out/t.json"));
  EXPECT_TRUE(config.run.do_eval);
  EXPECT_FALSE(config.run.do_train);
}

TEST_F(TaskFileTest, WhatAnotherTaskReadsIsNotedOnTheCommandLine) {
  EXPECT_TRUE(has_notice(resolved(kTask, {"--max_new_tokens", "3"}),
                         "--max_new_tokens: no effect: zt run --task predict reads it"));
  EXPECT_FALSE(has_notice(resolved(kTask), "max_new_tokens"));
}

TEST_F(TaskFileTest, EveryWrongKeyIsNamedWithItsNeighbour) {
  const std::string text = replaced(
      replaced(replaced(kTask, "lr: 3e-4", "learning_rat: 3e-4"), "zero_stage: 2", "zero_stag: 2"),
      "  top_p: 0.9", "  top_q: 0.9");
  const std::string error = error_of(text);
  EXPECT_TRUE(contains(error,
                       "training.learning_rat: unknown key, the nearest valid key is "
                       "training.learning_rate"))
      << error;
  EXPECT_TRUE(contains(error, "the nearest valid key is deepspeed.zero_stage")) << error;
  EXPECT_TRUE(contains(error, "predict.top_q: unknown key")) << error;
  EXPECT_TRUE(contains(error, "x.yaml:11")) << error;
}

TEST_F(TaskFileTest, WrongValuesNameKeyLineAndRange) {
  const std::string error = error_of(replaced(replaced(kTask, "batch_size: 2", "batch_size: two"),
                                              "zero_stage: 2", "zero_stage: 5"));
  EXPECT_TRUE(contains(error, "training.batch_size: got 'two', expected a whole number")) << error;
  EXPECT_TRUE(contains(error, "deepspeed.zero_stage: got \"5\"")) << error;
  EXPECT_TRUE(contains(error, "x.yaml:16")) << error;
}

TEST_F(TaskFileTest, TwoSpellingsOfOneKeyMayNotDiffer) {
  const std::string error = error_of(replaced(kTask, "lr: 3e-4", "lr: 3e-4\n  learning_rate: 1"));
  EXPECT_TRUE(contains(error, "training.learning_rate 1 contradicts training.lr 3e-4")) << error;
}

TEST_F(TaskFileTest, ADeepSpeedFileAndTheSectionHaveToAgree) {
  const std::string json = files_.write("d.json", "{\"zero_optimization\": {\"stage\": 3}}");
  const std::string text = replaced(kTask, "deepspeed:\n  enabled: true\n  zero_stage: 2",
                                    "deepspeed:\n  config: " + json + "\n  zero_stage: 2");
  EXPECT_TRUE(
      contains(error_of(text), "deepspeed.zero_stage 2 contradicts zero_optimization.stage"))
      << error_of(text);
  const Config config = resolved(replaced(text, "zero_stage: 2", "zero_stage: 3"));
  EXPECT_EQ(config.zero.stage, 3);
  EXPECT_EQ(origin(config, "zero.stage"), "zero_optimization.stage (d.json:1)");
}

TEST_F(TaskFileTest, ADisabledDeepSpeedSectionHasNoEffect) {
  const Config config = resolved(replaced(kTask, "enabled: true", "enabled: false"));
  EXPECT_EQ(config.zero.stage, 0);
  EXPECT_TRUE(has_notice(config, "deepspeed.enabled: false"));
}

TEST_F(TaskFileTest, DeepSpeedSectionsMayStandInline) {
  const Config config = resolved(replaced(
      kTask, "  zero_stage: 2\n", "  zero_optimization:\n    stage: 3\n    overlap_comm: false\n"));
  EXPECT_EQ(config.zero.stage, 3);
  EXPECT_FALSE(config.zero.overlap_comm);
  EXPECT_EQ(origin(config, "zero.stage"), "zero_optimization.stage (x.yaml:17)");
}

TEST_F(TaskFileTest, VariablesOfTheEnvironmentAreReplaced) {
  Facts facts;
  facts.environment = {{"RUN_LR", "5e-4"}, {"HOME", "/root"}};
  const std::string text =
      replaced(replaced(kTask, "lr: 3e-4", "lr: ${RUN_LR}"), "epochs: 2", "epochs: ${N:-7}");
  const Config config = resolved(text, {}, facts);
  EXPECT_EQ(config.optimizer.learning_rate, 5e-4);
  EXPECT_EQ(config.run.num_train_epochs, 7);
  const std::string error = error_of(text);
  EXPECT_TRUE(contains(error, "the environment variable RUN_LR is not set")) << error;
  EXPECT_TRUE(contains(error, "x.yaml:11")) << error;
}

TEST_F(TaskFileTest, APresetsSizesAreFields) {
  const Config config = resolved(
      "model_type: mamba\nnum_gpus: 4\nmodel:\n  vocab_size: 50257\n  d_model: 64\n  n_layers: 2\n"
      "  d_state: 16\n  d_conv: 4\n  expand: 2\n  dropout: 0.1\n  max_seq_length: 4096\n"
      "  name_or_path: MODEL\ntraining:\n  dataset: DATA\n  batch_size: 1\n  max_length: 256\n"
      "  fp16: true\n  output_dir: OUT\n  checkpoint_dir: c\n  use_wandb: false\n"
      "optimization:\n  gradient_checkpointing: true\n");
  EXPECT_EQ(config.shape.model_type, "mamba");
  EXPECT_EQ(config.shape.d_model, 64);
  EXPECT_EQ(config.shape.expand, 2);
  EXPECT_EQ(config.launch.nproc, 4);
  EXPECT_EQ(config.data.block_size, 256);
  EXPECT_EQ(config.zero.recompute, Recompute::full);
  EXPECT_EQ(origin(config, "shape.d_model"), "model.d_model (x.yaml:5)");
}

TEST_F(TaskFileTest, AFileOfFlagsMayComeFirst) {
  const std::string json = write(
      "{\"model_name_or_path\": \"MODEL\", \"train_file_dir\": \"DATA\", \"output_dir\": \"OUT\",\n"
      " \"learning_rate\": 1e-3, \"report_to\": [\"csv\"], \"deepspeed\": null,\n"
      " \"lr_scheduler_type\": \"cosine\", \"lr_scheduler_kwargs\": {\"num_cycles\": 1}}",
      "args.json");
  const Config config = resolve({json, "--learning_rate", "2e-3"});
  EXPECT_EQ(config.optimizer.learning_rate, 2e-3);
  EXPECT_TRUE(config.run.report_csv);
  EXPECT_EQ(config.lr_schedule.num_cycles, 1);
  EXPECT_EQ(config.origins.at("lr_schedule.num_cycles").place, json + ":3");
}

TEST_F(TaskFileTest, ADeepSpeedFileGivenAsConfigIsRead) {
  const std::string json = files_.write("d.json", "{\"zero_optimization\": {\"stage\": 1}}");
  std::vector<std::string> args = {"--config", json};
  for (const std::string& arg : files_.args()) args.push_back(arg);
  EXPECT_EQ(resolve(args).zero.stage, 1);
}

TEST_F(TaskFileTest, FlagsOfAccelerateNeedNoFile) {
  const Config config =
      resolve(files_.args({"--zero_stage", "3", "--offload_optimizer_device", "cpu",
                           "--offload_param_device", "cpu", "--zero3_save_16bit_model", "true"}));
  EXPECT_EQ(config.zero.stage, 3);
  EXPECT_EQ(config.zero.param_place, Place::host);
  EXPECT_TRUE(config.zero.gather_16bit_on_save);
  const std::string error = config_error([&] {
    (void)resolve(files_.args({"--zero_stage", "1", "--offload_param_device", "cpu"}));
  });
  EXPECT_TRUE(contains(error, "--offload_param_device: got \"cpu\", which needs")) << error;
}

}  // namespace
}  // namespace zt::config
