#include "plan/run_plan.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/test_folder.h"
#include "config/resolve.h"
#include "plan/ds_config.h"
#include "plan/table.h"
#include "plan/test_layers.h"

namespace zt::plan {
namespace {

NamedModel small_model(const std::string& name) {
  if (name != "small") throw ConfigError("[plan.model] unknown shape '" + name + "'");
  return {"small", 1024, sized_model({})};
}

struct Outcome {
  int code = -1;
  std::string text, error;
};

Outcome plan(std::vector<std::string> args) {
  std::ostringstream out;
  Outcome outcome;
  try {
    outcome.code = run_plan(args, small_model, out);
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  outcome.text = out.str();
  return outcome;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class RunPlanTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path(name); }

  TestFolder folder_;
};

std::vector<std::string> args(std::vector<std::string> more) {
  std::vector<std::string> all{"--model", "small", "--nproc", "4", "--bf16", "--block_size", "512"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST_F(RunPlanTest, MarksOneRowAndSaysHowToRunIt) {
  const auto outcome = plan(args({"--gpu_memory", "24GB", "--gradient_accumulation_steps", "16",
                                  "--per_device_train_batch_size", "1"}));
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_TRUE(contains(outcome.text, "4 CUDA ranks; block 512, micro-batch 1 x 16, bf16"))
      << outcome.text;
  EXPECT_TRUE(contains(outcome.text, "* 1     none             none")) << outcome.text;
  EXPECT_TRUE(contains(outcome.text, "coalesce 16")) << outcome.text;
  EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '*'), 1) << outcome.text;
}

TEST_F(RunPlanTest, TablesSetTheClassicArithmeticBesideThePlan) {
  const auto outcome = plan(args({"--tables"}));
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_TRUE(contains(outcome.text, "small on 4 cards, model states by bytes per parameter"))
      << outcome.text;
  EXPECT_TRUE(contains(outcome.text, "32B parameters on 8 cards at 2+2+4 bytes: 256 GB in all"));
  EXPECT_TRUE(contains(outcome.text, "stage 2, optimizer on the host            72.0 "));
  EXPECT_TRUE(contains(outcome.text, "7B parameters on 4 cards at 2+2+8 bytes: 84 GB in all"));
  EXPECT_FALSE(contains(outcome.text, "the usual advice")) << "without --gpu_memory";
}

TEST_F(RunPlanTest, NothingFitsIsExitCode1) {
  const auto outcome = plan(args({"--gpu_memory", "1GB"}));
  EXPECT_EQ(outcome.code, 1) << outcome.error;
  EXPECT_TRUE(contains(outcome.text, "nothing fits")) << outcome.text;
}

TEST_F(RunPlanTest, ScheduleAndDetailsAndStagePrintThatProgram) {
  const auto outcome = plan(args({"--zero_stage", "3", "--schedule", "--details=true"}));
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_TRUE(contains(outcome.text, "* 3 ")) << outcome.text;
  EXPECT_FALSE(contains(outcome.text, "\n  2 ")) << outcome.text;
  EXPECT_TRUE(contains(outcome.text, "gather u0")) << outcome.text;
  EXPECT_TRUE(contains(outcome.text, "param_shard")) << outcome.text;
  EXPECT_TRUE(contains(outcome.text, "arena: device")) << outcome.text;
  EXPECT_TRUE(contains(outcome.text, "reductions beside the next backward")) << outcome.text;
}

TEST_F(RunPlanTest, WrongFlagsAndValuesAreNamed) {
  EXPECT_TRUE(contains(plan({"--nproc", "4"}).error, "--model is missing"));
  EXPECT_TRUE(contains(plan(args({"--zero_stage", "5"})).error, "--zero_stage: got '5'"));
  EXPECT_TRUE(contains(plan(args({"--zero_stage", "two"})).error, "--zero_stage: got 'two'"));
  EXPECT_TRUE(contains(plan(args({"--zero_stage", "5000000000"})).error, "expected 0, 1, 2 or 3"));
  EXPECT_TRUE(contains(plan(args({"--gpu_memory", "much"})).error, "gpu_memory"));
  EXPECT_TRUE(contains(plan(args({"--host_memory", "much"})).error, "--host_memory: got 'much'"));
  EXPECT_TRUE(contains(plan(args({"--num_nodes", "none"})).error, "--num_nodes: got 'none'"));
  EXPECT_TRUE(contains(plan(args({"--num_nodes", "0"})).error, "--num_nodes: got '0'"));
  EXPECT_TRUE(contains(plan(args({"--num_nodes", "3"})).error, "got 3 for 4 ranks"));
  EXPECT_TRUE(contains(plan(args({"--blocksize", "512"})).error, "--block_size"));
  EXPECT_TRUE(contains(plan(args({"--schedule=maybe"})).error, "expected true or false"));
  EXPECT_TRUE(contains(plan({"--model", "huge", "--nproc", "4"}).error, "unknown shape 'huge'"));
}

TEST_F(RunPlanTest, WritesAConfigurationOnceAndNeverOverItUnasked) {
  const auto file = path("ds.json");
  EXPECT_EQ(plan(args({"--gpu_memory", "24GB", "--output", file})).code, 0);
  EXPECT_TRUE(std::filesystem::exists(file));
  const auto again = plan(args({"--gpu_memory", "24GB", "--output", file}));
  EXPECT_TRUE(contains(again.error, "exists")) << again.error;
  EXPECT_EQ(plan(args({"--gpu_memory", "24GB", "--output", file, "--overwrite"})).code, 0);
  EXPECT_TRUE(
      contains(plan(args({"--output", path("no/such/folder.json")})).error, "cannot be written"));
}

TEST_F(RunPlanTest, AFolderOrPipeIsNeverReplacedAndALinkStays) {
  const auto pipe = path("pipe"), link = path("link.json");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto over = plan(args({"--gpu_memory", "24GB", "--output", pipe, "--overwrite"}));
  EXPECT_TRUE(contains(over.error, "is no regular file")) << over.error;
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  std::ofstream(path("real.json")) << "before";
  std::filesystem::create_symlink("real.json", link);
  EXPECT_EQ(plan(args({"--gpu_memory", "24GB", "--output", link, "--overwrite"})).code, 0);
  EXPECT_TRUE(std::filesystem::is_symlink(link));
}

TEST_F(RunPlanTest, TheFp16SectionReadsBackAsTheSameLossScale) {
  zero::EngineOptions options;
  options.precision.compute = DType::f16;
  options.precision.loss_scale = 128;
  options.precision.initial_scale_power = 12;
  options.precision.loss_scale_window = 50;
  options.precision.hysteresis = 4;
  options.precision.consecutive_hysteresis = true;
  options.precision.min_loss_scale = 2;
  config::Facts facts;
  facts.world_size = 1;
  const auto read = config::from_deepspeed(ds_config_json(options), facts).precision;
  EXPECT_EQ(read.compute, DType::f16);
  EXPECT_EQ(read.loss_scale, 128);
  EXPECT_EQ(read.initial_scale_power, 12);
  EXPECT_EQ(read.loss_scale_window, 50);
  EXPECT_EQ(read.hysteresis, 4);
  EXPECT_TRUE(read.consecutive_hysteresis);
  EXPECT_EQ(read.min_loss_scale, 2);
}

TEST_F(RunPlanTest, EveryRowsConfigurationReadsBackAsTheSameChoices) {
  const auto model = sized_model({});
  const Planner planner(model, {.device = Device::cuda, .world = 4, .local_world = 4});
  zero::EngineOptions options;
  options.precision.compute = DType::bf16;
  options.zero.reduce_bucket_size = 12'345'600;
  options.zero.prefetch_bucket_size = 7'000'000;
  options.zero.max_live_parameters = 300'000'000;
  options.zero.param_persistence_threshold = 5'000;
  options.shape = {2, 512};
  options.micro_steps = 8;
  for (const auto& row : table(planner, options)) {
    const auto json = ds_config_json(row.options);
    config::Facts facts;
    facts.world_size = 4;
    const auto read = config::from_deepspeed(json, facts);
    const auto& zero = row.options.zero;
    EXPECT_EQ(read.zero.stage, zero.stage) << json;
    EXPECT_EQ(read.zero.optimizer_place, zero.optimizer_place) << json;
    EXPECT_EQ(read.zero.param_place, zero.param_place) << json;
    EXPECT_EQ(read.zero.reduce_bucket_size, 12'345'600);
    if (zero.stage == 3) {
      EXPECT_EQ(read.zero.prefetch_bucket_size, 7'000'000);
      EXPECT_EQ(read.zero.max_live_parameters, 300'000'000);
      EXPECT_EQ(read.zero.param_persistence_threshold, 5'000);
    }
    EXPECT_EQ(read.precision.compute, DType::bf16);
    EXPECT_EQ(read.run.per_device_train_batch_size, 2);
    EXPECT_EQ(read.run.gradient_accumulation_steps, 8);
    for (const auto& notice : read.notices) {
      EXPECT_FALSE(contains(notice, "zero_optimization")) << notice;
    }
  }
}

TEST_F(RunPlanTest, BucketSizesComeFromTheDeepspeedFileWhenThereIsOne) {
  std::ofstream(path("ds.json"))
      << R"({"zero_optimization": {"stage": 2, "reduce_bucket_size": "auto"}})";
  const auto file = path("out.json");
  EXPECT_EQ(plan(args({"--deepspeed", path("ds.json"), "--output", file})).code, 0);
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  EXPECT_TRUE(contains(text.str(), "\"reduce_bucket_size\": 1048576")) << text.str();
}

TEST_F(RunPlanTest, WhatTheGivenFileSaysOfOtherThingsIsKept) {
  std::ofstream(path("ds.json")) << R"({"bfloat16": {"enabled": true}, "gradient_clipping": 0.25,
      "data_types": {"grad_accum_dtype": "bf16"}, "aio": {"block_size": 8388608},
      "optimizer": {"type": "AdamW", "params": {"lr": 2e-4, "betas": [0.8, 0.9]}},
      "zero_optimization": {"stage": 3, "max_live_parameters": 3e8, "sub_group_size": 1e8,
        "offload_optimizer": {"device": "nvme", "nvme_path": "/disk", "buffer_count": 7}}})";
  const auto file = path("out.json");
  const auto outcome = plan(args({"--deepspeed", path("ds.json"), "--output", file}));
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  const auto read = config::from_deepspeed(text.str(), {.world_size = 4, .hidden_size = 1024});
  EXPECT_EQ(read.optimizer.max_grad_norm, 0.25);
  EXPECT_EQ(read.precision.grad_accum, DType::bf16);
  EXPECT_EQ(read.zero.aio_block_size, 8388608);
  EXPECT_EQ(read.zero.optimizer_nvme_path, "/disk");
  EXPECT_EQ(read.zero.optimizer_buffers, 7);
  EXPECT_EQ(read.optimizer.learning_rate, 2e-4);
  EXPECT_EQ(read.optimizer.beta1, 0.8);
  EXPECT_TRUE(contains(text.str(), "\"bf16\": {")) << text.str();
  EXPECT_FALSE(contains(text.str(), "\"max_live_parameters\"")) << text.str();
}

TEST_F(RunPlanTest, AnOldOffloadKeyGivesWayToTheChoice) {
  const auto file = path("out.json");
  const char* given = R"({"zero_optimization": {"stage": 2, "cpu_offload": true}})";
  EXPECT_EQ(plan(args({"--deepspeed", given, "--output", file})).code, 0);
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  EXPECT_FALSE(contains(text.str(), "\"cpu_offload\"")) << text.str();
  EXPECT_EQ(config::from_deepspeed(text.str(), {.world_size = 4}).zero.optimizer_place,
            Place::host);
}

TEST_F(RunPlanTest, ANamedDeviceHasItsMemoryAndWithoutAnyNothingIsSaidToFit) {
  const auto h100 = plan(args({"--device", "H100"}));
  EXPECT_TRUE(contains(h100.text, "fits: at most 90 % of 80.0 GiB per rank")) << h100.text;
  const auto over = plan(args({"--device", "H100", "--gpu_memory", "24GiB"}));
  EXPECT_TRUE(contains(over.text, "of 24.0 GiB per rank")) << over.text;
  const auto none = plan(args({}));
  EXPECT_FALSE(contains(none.text, "  yes\n")) << none.text;
  EXPECT_TRUE(contains(none.text, "  ?\n")) << none.text;
}

TEST_F(RunPlanTest, CpuRanksArePlannedToo) {
  const auto outcome = plan(args({"--use_cpu", "--output", path("cpu.json")}));
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_TRUE(contains(outcome.text, "4 CPU ranks; block 512")) << outcome.text;
  EXPECT_TRUE(contains(outcome.text, "times: guesses for CPU ranks")) << outcome.text;
  EXPECT_TRUE(std::filesystem::exists(path("cpu.json")));
  const auto small = plan(args({"--use_cpu", "--host_memory", "10MB"}));
  EXPECT_EQ(small.code, 1) << small.text;  // their memory is the host's
  EXPECT_TRUE(contains(small.text, "nothing fits")) << small.text;
}

TEST_F(RunPlanTest, HostMemoryIsThatOfOneMachineOfSeveral) {
  const std::vector<std::string> half{"--use_cpu", "--host_memory", "3GB"};
  const auto with_nodes = [&](const char* nodes) {
    auto flags = half;
    flags.insert(flags.end(), {"--num_nodes", nodes});
    return plan(args(flags));
  };
  EXPECT_EQ(plan(args(half)).code, 1);
  const auto four = with_nodes("4");
  EXPECT_EQ(four.code, 0) << four.text << four.error;
  EXPECT_TRUE(contains(four.text, "4 CPU ranks on 4 machines; block 512")) << four.text;
  EXPECT_TRUE(contains(four.text, "links between machines")) << four.text;
}

TEST_F(RunPlanTest, AFolderOfADiskThatNobodyNamedIsAskedFor) {
  const std::vector<std::string> tight{
      "--per_device_train_batch_size", "1", "--gpu_memory", "3GB", "--host_memory", "4GB"};
  const auto unnamed = plan(args(tight));
  EXPECT_TRUE(contains(unnamed.text, "take: stage 3, optimizer nvme")) << unnamed.text;
  EXPECT_TRUE(contains(unnamed.text, "nvme_path: none was given, /local/nvme stands for it"));
  const auto file = path("disk.json");
  std::ofstream(file) << R"({"zero_optimization": {"stage": 3,
      "offload_optimizer": {"device": "nvme", "nvme_path": "/disk"}}})";
  auto flags = tight;
  flags.insert(flags.end(), {"--deepspeed", file});
  const auto named = plan(args(flags));
  EXPECT_TRUE(contains(named.text, "take: stage 3, optimizer nvme")) << named.text << named.error;
  EXPECT_FALSE(contains(named.text, "nvme_path: none")) << named.text;
}

TEST_F(RunPlanTest, OffloadByFlagsIsCheckedAgainstTheStageThatIsNamed) {
  const auto outcome = plan(args({"--zero_stage", "3", "--offload_optimizer_device", "cpu"}));
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_TRUE(contains(outcome.text, "given (command line): stage 3, offload optimizer"))
      << outcome.text;
  EXPECT_TRUE(contains(plan(args({"--zero_stage", "2", "--offload_param_device", "cpu"})).error,
                       "the stage is 2"));
  EXPECT_TRUE(contains(plan({"--tables", "--output", path("none.json")}).error,
                       "--output: there is nothing to write without --model"));
}

TEST_F(RunPlanTest, SaysWhetherTheGivenConfigurationFits) {
  std::ofstream(path("ds.json")) << R"({"zero_optimization": {"stage": 0}})";
  const auto fitting = plan(args({"--deepspeed", path("ds.json"), "--gpu_memory", "40GB"}));
  EXPECT_EQ(fitting.code, 0) << fitting.error;
  EXPECT_TRUE(contains(fitting.text, "given (" + path("ds.json") + ":1): stage 0, offload none"))
      << fitting.text;
  EXPECT_TRUE(contains(fitting.text, "per rank, fits")) << fitting.text;
  const auto large = plan(args({"--deepspeed", path("ds.json"), "--gpu_memory", "4GB"}));
  EXPECT_EQ(large.code, 1) << large.error;
  EXPECT_TRUE(contains(large.text, "per rank, does not fit")) << large.text;
  EXPECT_TRUE(contains(large.text, "\ntake: stage ")) << large.text;
}

}  // namespace
}  // namespace zt::plan
