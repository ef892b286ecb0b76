#include <gtest/gtest.h>

#include "config/config_test_files.h"

namespace zt::config {
namespace {

Config loaded(const std::string& body, const Facts& facts = Facts{.world_size = 1}) {
  return from_deepspeed("{\"train_micro_batch_size_per_gpu\": 1, " + body + "}", facts);
}

std::string error_of(const std::string& body, const Facts& facts = Facts{.world_size = 1}) {
  return config_error([&] { (void)loaded(body, facts); });
}

void expect_error(const std::string& body, const std::string& part) {
  const std::string error = error_of(body);
  EXPECT_TRUE(contains(error, part)) << "expected: " << part << "\ngot: " << error;
}

TEST(DsConfigTest, StageIsAWholeNumberFromZeroToThree) {
  EXPECT_EQ(loaded("\"zero_optimization\": {\"stage\": 2.0}").zero.stage, 2);
  EXPECT_EQ(loaded("\"zero_optimization\": {\"stage\": \"3\"}").zero.stage, 3);
  for (const char* bad : {"4", "-1", "1.5", "\"two\"", "[1, 2]", "null", "NaN"}) {
    expect_error("\"zero_optimization\": {\"stage\": " + std::string(bad) + "}",
                 "zero_optimization.stage: got ");
  }
}

TEST(DsConfigTest, ABooleanZeroSectionIsTheOldForm) {
  const Config on = loaded("\"zero_optimization\": true");
  EXPECT_EQ(on.zero.stage, 1);
  EXPECT_TRUE(has_notice(on, "zero_optimization: a boolean is the old form of stage 1"));
  EXPECT_EQ(loaded("\"zero_optimization\": false").zero.stage, 0);
  expect_error("\"zero_optimization\": 7", "zero_optimization: got 7, expected an object");
}

TEST(DsConfigTest, AFileOfSomethingElseIsRefusedAndCommentsAreNot) {
  const auto refusal = [](const std::string& text) {
    return config_error([&] {
      const TestFiles files;
      (void)resolve(files.args({"--deepspeed", text}));
    });
  };
  for (const char* other : {R"({"architectures": ["Qwen3ForCausalLM"], "vocab_size": 64})",
                            R"({"runs": {"zero_optimization": {"stage": 3}}, "global": 1})"}) {
    EXPECT_TRUE(contains(refusal(other), "this is no DeepSpeed configuration")) << other;
  }
  for (const char* ours :
       {"{}", R"({"_comment": "later"})", R"({"comment": 1, "comms_logger": {}})",
        R"({"bfloat16": {"enabled": false}, "wandb_project": "x"})"}) {
    EXPECT_EQ(refusal(ours), "") << ours;
  }
}

TEST(DsConfigTest, NumbersAreReadAsTheyAreWritten) {
  const Config config = loaded(
      "\"zero_optimization\": {\"reduce_bucket_size\": 5E8, \"allgather_bucket_size\": \"200\","
      " \"sub_group_size\": 1e14, \"overlap_comm\": \"false\"}, \"steps_per_print\": "
      "20000000000000000");
  EXPECT_EQ(config.zero.reduce_bucket_size, 500'000'000);
  EXPECT_EQ(config.zero.allgather_bucket_size, 200);
  EXPECT_FALSE(config.zero.overlap_comm);
  for (const char* bad : {"0.5", "1e30", "1e999", "NaN", "Infinity", "-1", "0", "CONFIG_SIZE"}) {
    expect_error("\"zero_optimization\": {\"reduce_bucket_size\": " + std::string(bad) + "}",
                 "zero_optimization.reduce_bucket_size: got ");
  }
  expect_error("\"optimizer\": {\"type\": \"AdamW\", \"params\": {\"lr\": Infinity}}",
               "optimizer.params.lr: got Infinity, expected a finite number");
}

TEST(DsConfigTest, OffloadGoesToHostMemory) {
  const Config config = loaded(
      "\"zero_optimization\": {\"stage\": 3, \"offload_optimizer\": {\"device\": \"cpu\", "
      "\"pin_memory\": false},"
      " \"offload_param\": {\"device\": \"cpu\"}}");
  EXPECT_EQ(config.zero.optimizer_place, Place::host);
  EXPECT_EQ(config.zero.param_place, Place::host);
  EXPECT_FALSE(config.zero.pin_memory);
  const Config none = loaded(
      "\"zero_optimization\": {\"stage\": 3, \"offload_optimizer\": {\"device\": \"none\"}, "
      "\"offload_param\": null}");
  EXPECT_EQ(none.zero.optimizer_place, Place::device);
  EXPECT_EQ(none.zero.param_place, Place::device);
}

TEST(DsConfigTest, OffloadToDiskNamesItsFolderAndReadsTheAioSection) {
  const Config config = loaded(
      "\"zero_optimization\": {\"stage\": 3, \"offload_optimizer\": {\"device\": \"nvme\", "
      "\"nvme_path\": \"/disk\", \"buffer_count\": 6}}, \"aio\": {\"queue_depth\": 32}");
  EXPECT_EQ(config.zero.optimizer_place, Place::nvme);
  EXPECT_EQ(config.zero.param_place, Place::device);
  EXPECT_EQ(config.zero.optimizer_nvme_path, "/disk");
  EXPECT_EQ(config.zero.optimizer_buffers, 6);
  EXPECT_EQ(config.zero.aio_queue_depth, 32);
}

TEST(DsConfigTest, VariablesInValuesAreReplacedAsInOtherFiles) {
  const char* text = R"({"train_batch_size": 1, "zero_optimization": {"stage": "${ZT_STAGE:-2}",
      "offload_optimizer": {"device": "nvme", "nvme_path": "${SCRATCH}/states"}}})";
  const Facts facts{.world_size = 1, .environment = {{"SCRATCH", "/scratch/me"}}};
  const Config config = from_deepspeed(text, facts);
  EXPECT_EQ(config.zero.optimizer_nvme_path, "/scratch/me/states");
  EXPECT_EQ(config.zero.stage, 2);
  EXPECT_TRUE(contains(config_error([&] { (void)from_deepspeed(text, {.world_size = 1}); }),
                       "the environment variable SCRATCH is not set"));
}

TEST(DsConfigTest, OffloadThatCannotWorkIsRefused) {
  expect_error(
      "\"zero_optimization\": {\"stage\": 2, \"offload_optimizer\": "
      "{\"device\": \"nvme\", \"nvme_path\": \"\"}}",
      "which needs zero_optimization.offload_optimizer.nvme_path");
  expect_error("\"zero_optimization\": {\"stage\": 3, \"offload_param\": {\"device\": \"nvme\"}}",
               "which needs zero_optimization.offload_param.nvme_path");
  expect_error("\"zero_optimization\": {\"stage\": 2, \"offload_param\": {\"device\": \"cpu\"}}",
               "which needs zero_optimization.stage >= 3, the stage is 2");
  expect_error("\"zero_optimization\": {\"offload_optimizer\": {\"device\": \"cpu\"}}",
               "which needs zero_optimization.stage >= 1, the stage is 0");
  expect_error(
      "\"zero_optimization\": {\"stage\": 1, \"offload_optimizer\": {\"device\": \"CPU\"}}",
      "expected one of none, cpu, nvme");
}

TEST(DsConfigTest, TheOldOffloadKeysStillWork) {
  const Config config = loaded("\"zero_optimization\": {\"stage\": 2, \"cpu_offload\": true}");
  EXPECT_EQ(config.zero.optimizer_place, Place::host);
  EXPECT_TRUE(has_notice(config, "zero_optimization.cpu_offload: deprecated, use"));
  EXPECT_EQ(
      loaded("\"zero_optimization\": {\"stage\": 3, \"cpu_offload_param\": true}").zero.param_place,
      Place::host);
  EXPECT_EQ(
      loaded("\"zero_optimization\": {\"stage\": 1, \"cpu_offload\": false}").zero.optimizer_place,
      Place::device);
  expect_error(
      "\"zero_optimization\": {\"stage\": 2, \"cpu_offload\": true, \"offload_optimizer\": {}}",
      "zero_optimization.cpu_offload and zero_optimization.offload_optimizer are given");
}

TEST(DsConfigTest, OptimizerSectionFollowsDeepSpeed) {
  const Config adam = loaded(
      "\"optimizer\": {\"type\": \"adam\", \"params\": {\"betas\": [0.8, 0.95], \"adam_w_mode\": "
      "false}}");
  EXPECT_TRUE(adam.optimizer.l2_adam);
  EXPECT_TRUE(adam.optimizer.decay_all);
  EXPECT_EQ(adam.optimizer.learning_rate, 1e-3);
  EXPECT_EQ(adam.optimizer.beta1, 0.8);
  EXPECT_EQ(adam.optimizer.beta2, 0.95);
  EXPECT_FALSE(loaded("\"optimizer\": {\"type\": \"Adam\"}").optimizer.l2_adam);
  EXPECT_FALSE(loaded("\"optimizer\": {\"type\": \"AdamW\", \"params\": {\"adam_w_mode\": false}}")
                   .optimizer.l2_adam);
  EXPECT_TRUE(has_notice(
      loaded("\"optimizer\": {\"type\": \"AdamW\", \"params\": {\"adam_w_mode\": false}}"),
      "optimizer.params.adam_w_mode: no effect with type AdamW"));
  EXPECT_FALSE(has_notice(adam, "adam_w_mode"));
  EXPECT_FALSE(loaded("\"bf16\": {}").optimizer.decay_all);
  for (const char* type : {"Lion", "SGD", "OneBitAdam", "Muon", "Lamb", "nonsense"}) {
    expect_error(
        "\"optimizer\": {\"type\": \"" + std::string(type) + "\"}",
        "optimizer.type: \"" + std::string(type) + "\" is not built yet, expected Adam or AdamW");
  }
  expect_error("\"optimizer\": {}", "optimizer.type is missing");
  expect_error("\"optimizer\": {\"type\": \"Adam\", \"params\": {\"betas\": [0.9]}}",
               "got a list of 1, expected two numbers");
  expect_error("\"optimizer\": {\"type\": \"Adam\", \"params\": {\"betas\": [0.9, 1.0]}}",
               "expected a finite number >= 0 and < 1");
  expect_error("\"optimizer\": {\"type\": \"Adam\", \"params\": {\"max_grad_norm\": 1}}",
               "Use gradient_clipping");
}

TEST(DsConfigTest, SchedulersFollowDeepSpeed) {
  const Config warmup = loaded(
      "\"scheduler\": {\"type\": \"WarmupLR\", \"params\": {\"warmup_type\": \"linear\", "
      "\"total_num_steps\": 9}}");
  EXPECT_EQ(warmup.lr_schedule.kind, ScheduleKind::ds_warmup);
  EXPECT_EQ(warmup.lr_schedule.warmup_num_steps, 1000);
  EXPECT_FALSE(warmup.lr_schedule.warmup_max_lr.has_value());
  EXPECT_FALSE(warmup.lr_schedule.warmup_log);
  EXPECT_TRUE(
      has_notice(warmup, "scheduler.params.total_num_steps: no effect, WarmupLR does not read it"));
  const Config decay = loaded(
      "\"scheduler\": {\"type\": \"WarmupDecayLR\", \"params\": {\"total_num_steps\": 100, "
      "\"warmup_num_steps\": 10}}");
  EXPECT_EQ(decay.lr_schedule.kind, ScheduleKind::ds_warmup_decay);
  EXPECT_EQ(decay.lr_schedule.warmup_max_lr, 1e-3);
  EXPECT_EQ(decay.lr_schedule.total_num_steps, 100);
  EXPECT_EQ(decay.lr_schedule.warmup_num_steps, 10);
  EXPECT_EQ(
      loaded("\"scheduler\": {\"type\": \"WarmupCosineLR\", \"params\": {\"total_num_steps\": 5}}")
          .lr_schedule.kind,
      ScheduleKind::ds_warmup_cosine);
  EXPECT_EQ(loaded("\"bf16\": {}").lr_schedule.kind, ScheduleKind::constant);
  expect_error("\"scheduler\": {\"type\": \"WarmupDecayLR\"}",
               "scheduler.params.total_num_steps is missing");
  expect_error("\"scheduler\": {\"type\": \"warmuplr\"}",
               "scheduler.type: \"warmuplr\" is not built yet");
  expect_error("\"scheduler\": {\"type\": \"OneCycle\"}",
               "scheduler.type: \"OneCycle\" is not built yet");
  expect_error("\"scheduler\": {\"params\": {}}", "scheduler.type is missing");
  expect_error("\"scheduler\": {\"type\": \"WarmupLR\", \"params\": {\"warmup_type\": \"cubic\"}}",
               "expected log or linear");
}

TEST(DsConfigTest, PrecisionSectionsAndDataTypes) {
  EXPECT_EQ(loaded("\"bf16\": {\"enabled\": true}").precision.compute, DType::bf16);
  EXPECT_EQ(
      loaded("\"fp16\": {\"enabled\": false}, \"bf16\": {\"enabled\": \"yes\"}").precision.compute,
      DType::bf16);
  EXPECT_TRUE(has_notice(loaded("\"bf16\": {\"enabled\": \"auto\"}"),
                         "bf16.enabled: \"auto\" means the default false"));
  EXPECT_EQ(loaded("\"bfloat16\": {\"enabled\": true}").precision.compute, DType::bf16);
  EXPECT_EQ(
      loaded("\"bf16\": {\"enabled\": false}, \"bfloat16\": {\"enabled\": true}").precision.compute,
      DType::f32);
  const Config config = loaded(
      "\"bf16\": {\"enabled\": true, \"check_grad_overflow\": false}, \"communication_data_type\": "
      "\"fp32\","
      "\"data_types\": {\"grad_accum_dtype\": \"bf16\", \"param_dtype\": \"bf16\"}");
  EXPECT_FALSE(config.precision.check_grad_overflow);
  EXPECT_EQ(config.precision.communication, DType::f32);
  EXPECT_EQ(config.precision.grad_accum, DType::bf16);
  expect_error("\"data_types\": {\"param_dtype\": \"bf16\"}",
               "data_types.param_dtype: got \"bf16\", expected fp32");
  expect_error("\"communication_data_type\": \"int8\"", "communication_data_type: got \"int8\"");
  EXPECT_EQ(loaded("\"communication_data_type\": \"fp16\"").precision.communication, DType::f16);
  expect_error("\"fp16\": {\"enabled\": true}, \"bf16\": {\"enabled\": true}",
               "fp16.enabled and bf16.enabled are both on");
}

TEST(DsConfigTest, Fp16SectionChoosesTheLossScale) {
  const PrecisionConfig plain = loaded("\"fp16\": {\"enabled\": true}").precision;
  EXPECT_EQ(plain.compute, DType::f16);
  EXPECT_EQ(plain.loss_scale, 0) << "dynamic";
  EXPECT_EQ(plain.initial_scale_power, 16);
  EXPECT_EQ(plain.loss_scale_window, 1000);
  EXPECT_EQ(plain.hysteresis, 2);
  EXPECT_FALSE(plain.consecutive_hysteresis);
  EXPECT_EQ(plain.min_loss_scale, 1);
  const PrecisionConfig precision =
      loaded(
          "\"fp16\": {\"enabled\": true, \"loss_scale\": 128, \"initial_scale_power\": 12, "
          "\"loss_scale_window\": 50, \"hysteresis\": 1, \"consecutive_hysteresis\": true, "
          "\"min_loss_scale\": 0.01}, \"data_types\": {\"param_dtype\": \"fp16\"}")
          .precision;
  EXPECT_EQ(precision.loss_scale, 128);
  EXPECT_EQ(precision.initial_scale_power, 12);
  EXPECT_EQ(precision.loss_scale_window, 50);
  EXPECT_EQ(precision.hysteresis, 1);
  EXPECT_TRUE(precision.consecutive_hysteresis);
  EXPECT_EQ(precision.min_loss_scale, 0.01);
  expect_error("\"fp16\": {\"enabled\": true, \"fp16_master_weights_and_grads\": true}",
               "fp16.fp16_master_weights_and_grads");
  expect_error("\"fp16\": {\"enabled\": true, \"loss_scale\": -1}", "fp16.loss_scale");
  expect_error("\"fp16\": {\"enabled\": true, \"loss_scale_window\": 0}", "fp16.loss_scale_window");
}

TEST(DsConfigTest, CrossFieldRulesOfDeepSpeedHold) {
  const std::string stage2 = "\"zero_optimization\": {\"stage\": 2}, ";
  expect_error(stage2 + "\"prescale_gradients\": true",
               "prescale_gradients: got true, expected false with stage 2");
  expect_error(stage2 + "\"gradient_predivide_factor\": 2",
               "gradient_predivide_factor: got 2, expected 1 with stage 2");
  EXPECT_EQ(error_of("\"prescale_gradients\": true"), "");
  expect_error("\"zero_optimization\": {\"stage\": 1, \"allgather_bucket_size\": 3}",
               "expected an even number");
  expect_error("\"zero_optimization\": {\"stage\": 1, \"pipeline_loading_checkpoint\": true}",
               "which needs stage 3");
  expect_error("\"checkpoint\": {\"tag_validation\": \"maybe\"}",
               "expected one of Ignore, Warn, Fail");
  expect_error("\"gradient_allreduce_op\": \"sum\"",
               "gradient_allreduce_op: \"sum\" is not built yet");
  EXPECT_EQ(error_of("\"gradient_allreduce_op\": \"MEAN\""), "");
  expect_error("\"tensor_parallel\": {\"tp\": {\"tp_size\": 2}}",
               "tensor_parallel.tp.tp_size: got 2");
  expect_error("\"data_parallel_size\": 2", "expected 1, the number of ranks");
  expect_error("\"log_level\": \"loud\"", "log_level: got \"loud\", expected one of debug");
}

TEST(DsConfigTest, StageThreeKeysBelowStageThreeGiveANotice) {
  const Config config =
      loaded("\"zero_optimization\": {\"stage\": 0, \"stage3_param_persistence_threshold\": 0}");
  EXPECT_TRUE(has_notice(
      config, "zero_optimization.stage3_param_persistence_threshold: no effect with stage 0"));
}

TEST(DsConfigTest, ValuesThatDriftBetweenReleasesAreShown) {
  EXPECT_TRUE(has_notice(loaded("\"gradient_clipping\": 0.5"),
                         "gradient_clipping 0.5, bf16.check_grad_overflow true, pin_memory true"));
}

TEST(DsConfigTest, AutoNeedsSomebodyWhoFillsIt) {
  const std::string error = error_of(
      "\"gradient_clipping\": \"auto\", \"optimizer\": {\"type\": \"AdamW\", \"params\": {\"lr\": "
      "\"auto\", \"betas\": \"auto\"}},"
      "\"gradient_accumulation_steps\": \"auto\", \"zero_optimization\": {\"stage\": 2, "
      "\"reduce_bucket_size\": \"auto\"}");
  for (const char* key : {"gradient_clipping", "optimizer.params.lr", "optimizer.params.betas",
                          "gradient_accumulation_steps"}) {
    EXPECT_TRUE(contains(error, std::string(key) + ": \"auto\" is not filled by anything here"))
        << key << "\n"
        << error;
  }
  EXPECT_FALSE(contains(error, "reduce_bucket_size"));
  const Config defaults =
      loaded("\"zero_optimization\": {\"stage\": \"auto\", \"reduce_bucket_size\": \"auto\"}");
  EXPECT_TRUE(has_notice(defaults, "zero_optimization.stage: \"auto\" means the default 0"));
  EXPECT_EQ(defaults.unresolved.size(), 1U);
}

TEST(DsConfigTest, SourcesThatAreNoConfigurationAreRefused) {
  const TestFiles files;
  const auto error_in = [&](const std::string& text) {
    return config_error(
        [&] { (void)from_deepspeed(files.write("c.json", text), Facts{.world_size = 1}); });
  };
  EXPECT_TRUE(contains(error_in("[1, 2]"), "a DeepSpeed configuration is an object, got a list (" +
                                               files.path("c.json") + ":1)"));
  EXPECT_TRUE(contains(error_in("{\"a\": 1, \"a\": 2}"), "duplicate key 'a'"));
  EXPECT_TRUE(contains(error_in("{"), "is not closed"));
  EXPECT_TRUE(contains(error_in(""), "the document is empty"));
  EXPECT_TRUE(
      contains(error_in(std::string("\xff\xfe{\0", 4)), "the text is UTF-16LE, expected UTF-8"));
  const std::string yaml = files.write("c.yaml", "zero_optimization:\n  stage: 2\n");
  EXPECT_TRUE(contains(config_error([&] { (void)from_deepspeed(yaml, Facts{.world_size = 1}); }),
                       "task files go to --config"));
  EXPECT_TRUE(contains(
      config_error([&] { (void)from_deepspeed(files.path("model"), Facts{.world_size = 1}); }),
      "not a file: '" + files.path("model")));
  EXPECT_TRUE(contains(error_in("{}"),
                       "neither train_batch_size nor train_micro_batch_size_per_gpu is given"));
}

}  // namespace
}  // namespace zt::config
