#include "zero/engine_options.h"

#include <gtest/gtest.h>

namespace zt::zero {
namespace {

TEST(EngineOptionsTest, TakeEverythingThatTheEngineKnowsFromTheConfiguration) {
  config::Config config;
  config.zero.stage = 2;
  config.precision.compute = DType::bf16;
  config.optimizer.beta2 = 0.95;
  config.run.per_device_train_batch_size = 3;
  config.run.gradient_accumulation_steps = 5;
  config.data.block_size = 48;
  config.data.document_mask = true;
  config.launch.gpu_memory = Bytes{24'000'000'000};
  config.launch.host_memory = Bytes{200'000'000'000};
  const auto options = engine_options(config);
  EXPECT_EQ(options.zero.stage, 2);
  EXPECT_EQ(options.precision.compute, DType::bf16);
  EXPECT_EQ(options.optimizer.beta2, 0.95);
  EXPECT_EQ(options.shape.batch, 3);
  EXPECT_EQ(options.shape.sequence, 48);
  EXPECT_TRUE(options.shape.document_mask);
  EXPECT_EQ(options.micro_steps, 5);
  EXPECT_EQ(options.device_limit.value, 24'000'000'000);
  EXPECT_EQ(options.host_limit->value, 200'000'000'000);
}

TEST(EngineOptionsTest, TheBatchOfEvaluationCountsOnlyWhereThereIsOne) {
  config::Config config;
  config.run.per_device_eval_batch_size = 7;
  config.run.do_eval = false;
  EXPECT_EQ(engine_options(config).eval_batch, 0);
  config.run.do_eval = true;
  EXPECT_EQ(engine_options(config).eval_batch, 7);
}

TEST(EngineOptionsTest, WithoutAGpuMemoryThereIsNoLimit) {
  EXPECT_EQ(engine_options({}).device_limit.value, 0);
}

}  // namespace
}  // namespace zt::zero
