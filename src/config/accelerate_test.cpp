#include <gtest/gtest.h>

#include "config/config_test_files.h"

namespace zt::config {
namespace {

class AccelerateTest : public testing::Test {
 protected:
  Config resolved(const std::string& yaml, const std::vector<std::string>& more = {},
                  const Facts& facts = {}) const {
    std::vector<std::string> args = {"--config_file", files_.write("acc.yaml", yaml)};
    args.insert(args.end(), more.begin(), more.end());
    return resolve(files_.args(args), facts);
  }
  std::string error_of(const std::string& yaml, const std::vector<std::string>& more = {},
                       const Facts& facts = {}) const {
    return config_error([&] { (void)resolved(yaml, more, facts); });
  }
  static std::string fsdp(const std::string& lines) {
    return "compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\nmixed_precision: bf16\n"
           "num_machines: 1\nnum_processes: 4\nfsdp_config:\n" +
           lines;
  }
  TestFiles files_;
};

TEST_F(AccelerateTest, ADeepSpeedFileOfTheQuestionnaireIsRead) {
  const Config config = resolved(
      "compute_environment: LOCAL_MACHINE\ndebug: false\ndeepspeed_config:\n"
      "  gradient_accumulation_steps: 4\n  gradient_clipping: 0.5\n"
      "  offload_optimizer_device: cpu\n  offload_param_device: none\n  zero3_init_flag: true\n"
      "  zero3_save_16bit_model: true\n  zero_stage: 3\ndistributed_type: DEEPSPEED\n"
      "downcast_bf16: 'no'\nenable_cpu_affinity: false\nmachine_rank: 0\n"
      "main_training_function: main\nmixed_precision: bf16\nnum_machines: 1\nnum_processes: 2\n"
      "rdzv_backend: static\nsame_network: true\ntpu_env: []\ntpu_use_cluster: false\n"
      "tpu_use_sudo: false\nuse_cpu: false\n");
  EXPECT_EQ(config.zero.stage, 3);
  EXPECT_EQ(config.zero.optimizer_place, Place::host);
  EXPECT_TRUE(config.zero.gather_16bit_on_save);
  EXPECT_EQ(config.run.gradient_accumulation_steps, 4);
  EXPECT_EQ(config.optimizer.max_grad_norm, 0.5);
  EXPECT_EQ(config.precision.compute, DType::bf16);
  EXPECT_EQ(config.launch.nproc, 2);
  EXPECT_EQ(config.origins.at("zero.stage").key, "deepspeed_config.zero_stage");
  EXPECT_EQ(config.origins.at("zero.stage").place, files_.path("acc.yaml") + ":10");
}

TEST_F(AccelerateTest, FsdpStrategiesMeanStages) {
  struct Row {
    const char* strategy;
    int stage;
  };
  for (const Row& row : {Row{"FULL_SHARD", 3}, Row{"SHARD_GRAD_OP", 2}, Row{"NO_SHARD", 0},
                         Row{"HYBRID_SHARD", 3}, Row{"HYBRID_SHARD_ZERO2", 2}, Row{"1", 3}}) {
    const Config config =
        resolved(fsdp(std::string("  fsdp_sharding_strategy: ") + row.strategy + "\n"));
    EXPECT_EQ(config.zero.stage, row.stage) << row.strategy;
    EXPECT_TRUE(has_notice(config, "means ZeRO stage " + std::to_string(row.stage)));
  }
  EXPECT_EQ(resolved(fsdp("  fsdp_version: 2\n  fsdp_reshard_after_forward: true\n")).zero.stage,
            3);
  EXPECT_EQ(resolved(fsdp("  fsdp_version: 2\n  fsdp_reshard_after_forward: false\n")).zero.stage,
            2);
  const std::string wrong = error_of(fsdp("  fsdp_sharding_strategy: FULL\n"));
  EXPECT_TRUE(
      contains(wrong, "fsdp_config.fsdp_sharding_strategy: got 'FULL', expected FULL_SHARD"));
}

TEST_F(AccelerateTest, HybridShardingOfSeveralMachinesIsRefusedByName) {
  const std::string error = error_of(
      "distributed_type: FSDP\nnum_machines: 2\nnum_processes: 16\nfsdp_config:\n"
      "  fsdp_sharding_strategy: HYBRID_SHARD\n");
  EXPECT_TRUE(contains(error, "HYBRID_SHARD is not built for 2 machines")) << error;
  EXPECT_TRUE(contains(error, "acc.yaml:5")) << error;
}

TEST_F(AccelerateTest, FsdpOffloadAndCheckpointingAreMapped) {
  const Config full =
      resolved(fsdp("  fsdp_offload_params: true\n  fsdp_activation_checkpointing: true\n"
                    "  fsdp_state_dict_type: FULL_STATE_DICT\n"
                    "  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP\n"
                    "  fsdp_transformer_layer_cls_to_wrap: Qwen3DecoderLayer\n"));
  EXPECT_EQ(full.zero.optimizer_place, Place::host);
  EXPECT_EQ(full.zero.param_place, Place::host);
  EXPECT_EQ(full.zero.recompute, Recompute::full);
  EXPECT_TRUE(has_notice(full, "FULL_STATE_DICT: the output folder has the whole model"));
  const Config grad_op =
      resolved(fsdp("  fsdp_offload_params: true\n  fsdp_sharding_strategy: SHARD_GRAD_OP\n"));
  EXPECT_EQ(grad_op.zero.param_place, Place::device);
  EXPECT_EQ(grad_op.zero.optimizer_place, Place::host);
  EXPECT_TRUE(
      contains(error_of(fsdp("  fsdp_offload_params: true\n  fsdp_sharding_strategy: NO_SHARD\n")),
               "with NO_SHARD is not built"));
  EXPECT_TRUE(contains(error_of(fsdp("  fsdp_state_dict_type: LOCAL_STATE_DICT\n")),
                       "expected one of FULL_STATE_DICT|SHARDED_STATE_DICT"));
}

TEST_F(AccelerateTest, WrongKeysNameTheirNeighbour) {
  const std::string error =
      error_of("distributed_type: DEEPSPEED\nnum_proceses: 4\ndeepspeed_config:\n  zero_stag: 2\n");
  EXPECT_TRUE(contains(error, "the nearest valid key is num_processes")) << error;
  EXPECT_TRUE(contains(error, "the nearest valid key is deepspeed_config.zero_stage")) << error;
  EXPECT_TRUE(contains(error, "acc.yaml:4")) << error;
}

TEST_F(AccelerateTest, WhatIsNotBuiltIsRefusedByName) {
  EXPECT_TRUE(contains(error_of("distributed_type: MEGATRON_LM\n"), "distributed_type"));
  EXPECT_TRUE(contains(error_of("compute_environment: AMAZON_SAGEMAKER\n"), "is not built"));
  EXPECT_TRUE(contains(error_of("mixed_precision: fp8\n"), "fp8 is not built"));
  EXPECT_TRUE(contains(
      error_of("distributed_type: 'NO'\nparallelism_config:\n  parallelism_config_tp_size: 2\n"),
      "parallelism_config is not built"));
  EXPECT_TRUE(contains(error_of("distributed_type: DEEPSPEED\ndeepspeed_config:\n"
                                "  deepspeed_config_file: x.json\n  zero_stage: 2\n"),
                       "deepspeed_config.zero_stage and deepspeed_config.deepspeed_config_file"));
}

TEST_F(AccelerateTest, FlagsThatDisagreeAreRefusedAsInTransformers) {
  const std::string error =
      error_of("distributed_type: DEEPSPEED\ndeepspeed_config:\n  gradient_accumulation_steps: 4\n",
               {"--gradient_accumulation_steps", "8"});
  EXPECT_TRUE(contains(error,
                       "--gradient_accumulation_steps 8 contradicts "
                       "deepspeed_config.gradient_accumulation_steps 4"))
      << error;
}

TEST_F(AccelerateTest, TheEnvironmentOfTheLauncherIsRead) {
  Facts facts;
  facts.environment = {{"ACCELERATE_USE_DEEPSPEED", "true"},
                       {"ACCELERATE_DEEPSPEED_ZERO_STAGE", "3"},
                       {"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "cpu"},
                       {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2"},
                       {"ACCELERATE_MIXED_PRECISION", "bf16"}};
  const Config config = resolve(files_.args(), facts);
  EXPECT_EQ(config.zero.stage, 3);
  EXPECT_EQ(config.zero.optimizer_place, Place::host);
  EXPECT_EQ(config.precision.compute, DType::bf16);
  EXPECT_EQ(config.run.gradient_accumulation_steps, 2);
  EXPECT_EQ(config.origins.at("zero.stage").key, "ACCELERATE_DEEPSPEED_ZERO_STAGE");
  EXPECT_EQ(config.origins.at("zero.stage").place, "environment");
  facts.environment = {{"ACCELERATE_USE_FSDP", "true"},
                       {"FSDP_SHARDING_STRATEGY", "SHARD_GRAD_OP"}};
  EXPECT_EQ(resolve(files_.args(), facts).zero.stage, 2);
  facts.environment = {{"FSDP_SHARDING_STRATEGY", "FULL_SHARD"}};
  EXPECT_EQ(resolve(files_.args(), facts).zero.stage, 0);
}

TEST_F(AccelerateTest, DeepSpeedsTimeoutIsTheLimitOfEveryWaitUnlessAFlagNamesOne) {
  Facts facts;
  facts.environment = {{"DEEPSPEED_TIMEOUT", "45"}};
  const Config config = resolve(files_.args(), facts);
  EXPECT_EQ(config.run.ddp_timeout_seconds, 45 * 60);
  EXPECT_EQ(config.run.hang_timeout_seconds, 45 * 60);
  for (const char* field : {"run.ddp_timeout_seconds", "run.hang_timeout_seconds"}) {
    EXPECT_EQ(config.origins.at(field).key, "DEEPSPEED_TIMEOUT") << field;
    EXPECT_EQ(config.origins.at(field).place, "environment") << field;
  }
  EXPECT_TRUE(has_notice(config, "DEEPSPEED_TIMEOUT: a hang is noticed after 2700 s"));
  const Config named = resolve(files_.args({"--ddp_timeout", "60"}), facts);
  EXPECT_EQ(named.run.ddp_timeout_seconds, 60);
  EXPECT_EQ(named.run.hang_timeout_seconds, Config{}.run.hang_timeout_seconds);
  const Config hang = resolve(files_.args({"--hang_timeout", "0"}), facts);
  EXPECT_EQ(hang.run.ddp_timeout_seconds, 45 * 60);
  EXPECT_EQ(hang.run.hang_timeout_seconds, 0);
  for (const char* wrong : {"soon", "0", "-3", "1.5", "99999999999"}) {
    facts.environment = {{"DEEPSPEED_TIMEOUT", wrong}};
    try {
      (void)resolve(files_.args(), facts);
      ADD_FAILURE() << wrong << " was taken";
    } catch (const ConfigError& error) {
      EXPECT_TRUE(contains(error.what(), "DEEPSPEED_TIMEOUT: got '")) << error.what();
      EXPECT_TRUE(contains(error.what(), "(environment)")) << error.what();
    }
  }
}

TEST_F(AccelerateTest, EveryNameIsRead) {
  const auto with = [&](const std::vector<std::string>& more) {
    return resolve(files_.args(more));
  };
  EXPECT_EQ(with({"--use_deepspeed"}).zero.stage, 2);
  EXPECT_EQ(with({"--use_deepspeed", "--zero_stage", "1"}).zero.stage, 1);
  EXPECT_EQ(with({"--mixed_precision", "fp16"}).precision.compute, DType::f16);
  EXPECT_EQ(with({"--num_processes", "8", "--num_machines", "2"}).launch.nproc, 4);
  EXPECT_EQ(with({"--use_fsdp", "--fsdp_sharding_strategy", "SHARD_GRAD_OP"}).zero.stage, 2);
  EXPECT_EQ(with({"--use_fsdp", "--fsdp_version", "2", "--fsdp_reshard_after_forward", "false"})
                .zero.stage,
            2);
  EXPECT_EQ(with({"--use_fsdp", "--fsdp_offload_params", "true"}).zero.param_place, Place::host);
  EXPECT_TRUE(has_notice(with({"--fsdp_offload_params", "true"}), "no effect without --use_fsdp"));
  EXPECT_EQ(with({"--fsdp", "full_shard auto_wrap offload"}).zero.param_place, Place::host);
  EXPECT_EQ(with({"--fsdp", "shard_grad_op"}).zero.stage, 2);
  EXPECT_EQ(
      with({"--fsdp", "true", "--fsdp_config", "{\"reshard_after_forward\": false}"}).zero.stage,
      2);
  EXPECT_TRUE(contains(config_error([&] {
                         (void)with({"--fsdp", "full_shard", "--zero_stage", "2"});
                       }),
                       "--fsdp contradicts --zero_stage"));
}

}  // namespace
}  // namespace zt::config
