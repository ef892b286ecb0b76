#include "config/resolve.h"

#include <gtest/gtest.h>

#include "config/config_test_files.h"
#include "config/fields.h"

namespace zt::config {
namespace {

constexpr const char* kZero2 = R"({
  "bf16": {"enabled": "auto"},
  "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": "auto",
                                            "weight_decay": "auto"}},
  "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_min_lr": "auto",
     "warmup_max_lr": "auto", "warmup_num_steps": "auto", "total_num_steps": "auto"}},
  "zero_optimization": {
    "stage": 2,  // gradients too
    "reduce_bucket_size": "auto",
    "overlap_comm": true,
  },
  "gradient_accumulation_steps": "auto",
  "gradient_clipping": "auto",
  "train_batch_size": "auto",
  "train_micro_batch_size_per_gpu": "auto"
})";

class ResolveTest : public testing::Test {
 protected:
  Config resolved(const std::vector<std::string>& more, const Facts& facts = {}) const {
    return resolve(files_.args(more), facts);
  }
  std::string error_of(const std::vector<std::string>& more, const Facts& facts = {}) const {
    return config_error([&] { (void)resolved(more, facts); });
  }
  TestFiles files_;
};

TEST_F(ResolveTest, DefaultsComeFromTheTree) {
  const Config config = resolved({});
  EXPECT_EQ(config.run.num_train_epochs, 3.0);
  EXPECT_EQ(config.zero.stage, 0);
  EXPECT_EQ(config.precision.compute, DType::f32);
  EXPECT_EQ(config.origins.at("run.num_train_epochs").place, "default");
  EXPECT_EQ(config.origins.size(), fields().size());
  EXPECT_TRUE(config.unresolved.empty());
}

TEST_F(ResolveTest, TheEvalBatchIsAutomaticUnlessItIsGiven) {
  const auto given = resolved({"--per_device_eval_batch_size", "3"});
  EXPECT_EQ(given.run.per_device_eval_batch_size, 3);
  EXPECT_FALSE(has_notice(given, "--per_device_eval_batch_size"));
  EXPECT_FALSE(resolved({}).run.per_device_eval_batch_size.has_value());
  EXPECT_NE(error_of({"--per_device_eval_batch_size", "0"}), "");
}

TEST_F(ResolveTest, AutoIsFilledFromFlagsAndFacts) {
  const std::string json = files_.write("zero2.json", kZero2);
  const Config config =
      resolved({"--deepspeed", json, "--bf16", "--learning_rate", "2e-4", "--weight_decay", "0.01",
                "--adam_beta2", "0.95", "--max_grad_norm", "0.5", "--warmup_steps", "5",
                "--per_device_train_batch_size", "4", "--gradient_accumulation_steps", "8"},
               Facts{.world_size = 2, .hidden_size = 1024});
  EXPECT_EQ(config.optimizer.learning_rate, 2e-4);
  EXPECT_EQ(config.optimizer.beta2, 0.95);
  EXPECT_EQ(config.optimizer.weight_decay, 0.01);
  EXPECT_EQ(config.optimizer.max_grad_norm, 0.5);
  EXPECT_TRUE(config.optimizer.decay_all);
  EXPECT_EQ(config.lr_schedule.kind, ScheduleKind::ds_warmup_decay);
  EXPECT_EQ(config.lr_schedule.warmup_steps, 5);
  EXPECT_FALSE(config.lr_schedule.total_num_steps.has_value());
  EXPECT_EQ(config.zero.stage, 2);
  EXPECT_EQ(config.zero.reduce_bucket_size, 1024 * 1024);
  EXPECT_EQ(config.precision.compute, DType::bf16);
  EXPECT_EQ(config.run.per_device_train_batch_size, 4);
  EXPECT_EQ(config.run.gradient_accumulation_steps, 8);
  EXPECT_TRUE(config.unresolved.empty());
}

TEST_F(ResolveTest, EveryValueKnowsItsOrigin) {
  const std::string json = files_.write("zero2.json", kZero2);
  const Config config = resolved({"--deepspeed", json, "--learning-rate=1e-3"});
  EXPECT_EQ(config.origins.at("zero.stage").place, json + ":8");
  EXPECT_EQ(config.origins.at("zero.stage").key, "zero_optimization.stage");
  EXPECT_EQ(config.origins.at("optimizer.learning_rate").key,
            "optimizer.params.lr auto from --learning_rate");
  EXPECT_EQ(config.origins.at("optimizer.learning_rate").place, json + ":3");
  EXPECT_EQ(config.origins.at("data.train_file_dir").place, "command line");
  EXPECT_TRUE(
      contains(describe(config), "zero.stage = 2  (zero_optimization.stage, " + json + ":8)\n"));
}

TEST_F(ResolveTest, ReportsAllProblemsTogether) {
  const std::string json =
      files_.write("bad.json",
                   "{\"zero_optimization\": {\"stge\": 2},\n \"bf16\": {\"enabled\": true},\n"
                   " \"gradient_clipping\": -1,\n \"train_micro_batch_size_per_gpu\": 4}");
  const std::string error =
      error_of({"--deepspeed", json, "--bf16", "False", "--learing_rate", "1", "--block_size", "1",
                "--per_device_train_batch_size", "8", "--validation_file_dir", "/no/such/folder"});
  EXPECT_TRUE(contains(error, "[config.resolve] 7 problems:\n")) << error;
  const std::vector<std::string> parts = {
      std::string("unknown flag --learing_rate, the nearest valid flag is --learning_rate "
                  "(command line)"),
      std::string("--block_size: got '1', expected a whole number >= 2"),
      "zero_optimization.stge: unknown key, the nearest known key is zero_optimization.stage (" +
          json + ":1)",
      "gradient_clipping: got -1, expected a finite number >= 0 (" + json + ":3)",
      "--bf16 False contradicts bf16.enabled true (command line; " + json +
          ":2). Make them equal or write \"auto\" in the file.",
      "--per_device_train_batch_size 8 contradicts train_micro_batch_size_per_gpu 4",
      std::string("--validation_file_dir: no such folder: '/no/such/folder'")};
  for (const std::string& part : parts) {
    EXPECT_TRUE(contains(error, part)) << part << "\nin " << error;
  }
}

TEST_F(ResolveTest, WaitsForFactsAndResolvesAgain) {
  const std::string json =
      files_.write("z.json",
                   "{\"zero_optimization\": {\"stage\": 3, \"reduce_bucket_size\": \"auto\","
                   "\"stage3_prefetch_bucket_size\": \"auto\","
                   "\"stage3_param_persistence_threshold\": \"auto\"}, \"train_batch_size\": 32}");
  const Config early = resolved({"--deepspeed", json});
  EXPECT_EQ(early.unresolved.size(), 4U);
  EXPECT_TRUE(contains(describe(early), "unresolved: zero.reduce_bucket_size (needs hidden_size)"));
  const Config late = resolved({"--deepspeed", json}, Facts{.world_size = 4, .hidden_size = 100});
  EXPECT_TRUE(late.unresolved.empty());
  EXPECT_EQ(late.zero.reduce_bucket_size, 10'000);
  EXPECT_EQ(late.zero.prefetch_bucket_size, 9'000);
  EXPECT_EQ(late.zero.param_persistence_threshold, 1'000);
  EXPECT_EQ(late.run.per_device_train_batch_size, 8);
  EXPECT_EQ(late.run.gradient_accumulation_steps, 1);
}

TEST_F(ResolveTest, FlagsFillWhatASchedulerSectionLeavesOut) {
  const std::string json = "{scheduler: {type: WarmupDecayLR, params: {total_num_steps: auto}}}";
  const Config filled =
      resolved({"--deepspeed", json, "--warmup_ratio", "0.1", "--learning_rate", "2e-4"});
  EXPECT_FALSE(filled.lr_schedule.warmup_num_steps.has_value());
  EXPECT_FALSE(filled.lr_schedule.warmup_max_lr.has_value());
  EXPECT_EQ(filled.lr_schedule.warmup_steps, 0.1);
  EXPECT_TRUE(has_notice(filled, "--warmup_ratio fills scheduler.params.warmup_num_steps"));
  EXPECT_TRUE(has_notice(filled, "--learning_rate fills scheduler.params.warmup_max_lr"));
  const Config plain = resolved({"--deepspeed", json});
  EXPECT_EQ(plain.lr_schedule.warmup_num_steps, 1000);
  EXPECT_EQ(plain.lr_schedule.warmup_max_lr, 1e-3);
  const std::string fixed =
      "{scheduler: {type: WarmupLR, params: {warmup_num_steps: 7, warmup_max_lr: 1e-3}}}";
  EXPECT_TRUE(has_notice(resolved({"--deepspeed", fixed, "--warmup_ratio", "0.1"}),
                         "--warmup_ratio: no effect"));
  const std::string error =
      error_of({"--deepspeed", fixed, "--warmup_steps", "8", "--learning_rate", "1e-4"});
  EXPECT_TRUE(contains(error, "--warmup_steps 8 contradicts scheduler.params.warmup_num_steps 7"))
      << error;
  EXPECT_TRUE(
      contains(error, "--learning_rate 1e-4 contradicts scheduler.params.warmup_max_lr 0.001"))
      << error;
}

TEST_F(ResolveTest, FlagsFillWhatAnOptimizerSectionLeavesOut) {
  const std::string json = "{optimizer: {type: AdamW, params: {lr: 1e-3}}}";
  const Config config = resolved({"--deepspeed", json, "--weight_decay", "0.1"});
  EXPECT_EQ(config.optimizer.weight_decay, 0.1);
  EXPECT_EQ(config.optimizer.learning_rate, 1e-3);
  EXPECT_TRUE(has_notice(config, "--weight_decay fills optimizer.params.weight_decay"));
  EXPECT_TRUE(contains(error_of({"--deepspeed", json, "--learning_rate", "1e-4"}),
                       "--learning_rate 1e-4 contradicts optimizer.params.lr 0.001"));
  EXPECT_EQ(error_of({"--deepspeed", json, "--learning_rate", "0.001"}), "");
}

TEST_F(ResolveTest, PrecisionFlagsAndFileMustAgree) {
  const std::string json = "{bf16: {enabled: true}}";
  EXPECT_EQ(resolved({"--deepspeed", json}).precision.compute, DType::bf16);
  EXPECT_EQ(resolved({"--deepspeed", json, "--bf16"}).precision.compute, DType::bf16);
  EXPECT_TRUE(contains(error_of({"--deepspeed", json, "--no_bf16"}), "unknown flag --no_bf16"));
  EXPECT_TRUE(contains(error_of({"--deepspeed", json, "--bf16=False"}),
                       "--bf16 False contradicts bf16.enabled true"));
  EXPECT_TRUE(contains(error_of({"--deepspeed", "{bf16: {enabled: false}}", "--bf16"}),
                       "--bf16 true contradicts bf16.enabled false"));
  EXPECT_TRUE(contains(error_of({"--deepspeed", json, "--fp16"}),
                       "--fp16 and bf16.enabled are both on (command line; --deepspeed:1)"));
  EXPECT_EQ(resolved({"--deepspeed", "{bf16: {enabled: auto}}"}).precision.compute, DType::f32);
  const std::string half = "{fp16: {enabled: auto, loss_scale: 0}, bf16: {enabled: auto}}";
  EXPECT_EQ(resolved({"--deepspeed", half}).precision.compute, DType::f32);
  EXPECT_EQ(resolved({"--deepspeed", half, "--fp16"}).precision.compute, DType::f16);
  EXPECT_EQ(resolved({"--deepspeed", half, "--bf16"}).precision.compute, DType::bf16);
  EXPECT_EQ(resolved({"--fp16", "--fp16_full_eval"}).precision.compute, DType::f16);
  EXPECT_TRUE(contains(error_of({"--fp16_full_eval"}),
                       "--fp16_full_eval True without fp16 training is not built yet"));
  EXPECT_EQ(
      resolved({"--deepspeed", "{zero_optimization: {stage: 1}}", "--bf16"}).precision.compute,
      DType::bf16);
}

TEST_F(ResolveTest, NprocIsTheWorldSizeUntilItIsKnown) {
  const std::string json = files_.write("z.json", "{\"train_batch_size\": 32}");
  EXPECT_EQ(resolved({"--deepspeed", json, "--gpus", "2"}).run.per_device_train_batch_size, 16);
}

TEST_F(ResolveTest, RequiredFlagsAndFoldersAreChecked) {
  const std::string error = config_error([] { (void)resolve({}); });
  for (const char* flag : {"--model_name_or_path is missing", "--train_file_dir is missing",
                           "--output_dir is missing"}) {
    EXPECT_TRUE(contains(error, flag)) << error;
  }
  const Config plan =
      resolve({"--model_name_or_path", files_.path("model")}, Facts{.reads_data = false});
  EXPECT_EQ(plan.model.model_name_or_path, files_.path("model"));
  const std::string missing = error_of({"--model_name_or_path", "Qwen/Qwen3-0.6B"});
  EXPECT_TRUE(contains(missing, "no such folder: 'Qwen/Qwen3-0.6B'")) << missing;
}

TEST_F(ResolveTest, ASizeByNameNeedsNoFolderWhereWeightsAreNew) {
  const Facts facts{.model_names = {"mamba-1.4b"}};
  const std::vector<std::string> flags{"--model_name_or_path", "mamba-1.4b",   "--train_file_dir",
                                       files_.path("data"),    "--output_dir", files_.path("out")};
  const auto error = [&](const std::vector<std::string>& more) {
    auto all = flags;
    all.insert(all.end(), more.begin(), more.end());
    return config_error([&] { (void)resolve(all, facts); });
  };
  const std::string with_weights = error({});
  EXPECT_TRUE(contains(with_weights, "no such folder: 'mamba-1.4b'")) << with_weights;
  EXPECT_TRUE(contains(with_weights, "or --from_scratch for new ones")) << with_weights;
  const std::string without_tokenizer = error({"--from_scratch"});
  EXPECT_FALSE(contains(without_tokenizer, "no such folder")) << without_tokenizer;
  EXPECT_TRUE(contains(without_tokenizer, "--tokenizer_name_or_path is missing"));
  auto whole = flags;
  whole.insert(whole.end(), {"--from_scratch", "--tokenizer_name_or_path", files_.path("model")});
  EXPECT_TRUE(resolve(whole, facts).model.from_scratch);
}

TEST_F(ResolveTest, AMaskOfDocumentsWithoutPackingIsNoted) {
  EXPECT_TRUE(has_notice(resolved({"--document_mask", "--packing", "False"}),
                         "--document_mask: no effect without packing"));
  EXPECT_FALSE(has_notice(resolved({"--document_mask"}), "--document_mask"));
}

TEST_F(ResolveTest, DeviceFollowsTheMachineUnlessToldOtherwise) {
  EXPECT_EQ(resolved({}).launch.device, DeviceKind::cpu);
  EXPECT_EQ(resolved({}, Facts{.has_gpu = true}).launch.device, DeviceKind::cuda);
  EXPECT_EQ(resolved({"--use_cpu"}, Facts{.has_gpu = true}).launch.device, DeviceKind::cpu);
}

TEST_F(ResolveTest, AcceptsInlineJsonAndBase64) {
  EXPECT_EQ(resolved({"--deepspeed", "{\"zero_optimization\": {\"stage\": 1}}"}).zero.stage, 1);
  EXPECT_EQ(
      resolved({"--deepspeed", "eyJ6ZXJvX29wdGltaXphdGlvbiI6IHsic3RhZ2UiOiAzfX0="}).zero.stage, 3);
  EXPECT_TRUE(
      contains(error_of({"--deepspeed", "/no/such.json"}), "no such file: '/no/such.json'"));
  EXPECT_TRUE(contains(error_of({"--deepspeed"}), "--deepspeed has no value"));
  EXPECT_EQ(
      resolved({"--deepspeed", "--deepspeed_config", "{zero_optimization: {stage: 2}}"}).zero.stage,
      2);
}

TEST_F(ResolveTest, HelpNamesEveryFlagOfACommand) {
  const std::string help = help_text("train");
  for (const Field& field : fields()) EXPECT_FALSE(std::string(field.path).empty());
  EXPECT_TRUE(contains(help, "--learning_rate <a finite number >= 0> (default 5e-05)")) << help;
  EXPECT_TRUE(contains(help, "--nproc, --nproc_per_node, --num_gpus, --gpus"));
  EXPECT_THROW((void)help_text("trian"), ConfigError);
}

}  // namespace
}  // namespace zt::config
