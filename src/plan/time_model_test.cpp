#include "plan/time_model.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "plan/choose.h"
#include "plan/device_times.h"

namespace zt::plan {
namespace {

/// A device on which a product takes 2 x rows x in x out / 1e14 seconds and all else almost
/// nothing.
DeviceFile simple_device() {
  DeviceFile device;
  device.device = "simple";
  const double seconds = 2.0 * 1024 * 1024 * 1024 / 1e14;
  device.gemms = {{1024, 1024, 1024, seconds, seconds, seconds, seconds}};
  device.attention = {{1, 512, 16, 8, 128, false, 1e-12, 1e-12}};
  device.kernels = {{"adamw", 0, 1, 1e-18}};
  device.gather_rate = device.exchange_rate = 1e18;
  return device;
}

struct Built {
  zero::EngineOptions options;
  schedule::Program program;
  double sent = 0;
};

Built built(const model::Qwen3Config& model, int micro_steps, Recompute recompute) {
  zero::EngineOptions options;
  options.precision.compute = DType::bf16;
  options.precision.communication = DType::bf16;
  options.shape = {1, 512, false};
  options.micro_steps = micro_steps;
  options.zero.stage = 3;
  options.zero.recompute = recompute;
  options.zero.reduce_at = ReduceAt::micro_step;
  options.zero.retain_auto = false;
  options.zero.coalesce = 1;
  const auto parts = model::make_qwen3(model);
  const Planner planner(parts, {.device = Device::cuda, .world = 2, .local_world = 2});
  return {options, planner.program(options),
          static_cast<double>(planner.measure(options).costs.sent.value)};
}

StepTime predict(const model::Qwen3Config& model, const Built& what, const DeviceFile& device) {
  return predict_step(model, what.options, what.program, 2, device);
}

TEST(TimeModelTest, ProductsOfAStepFollowTheirFlops) {
  const auto model = model::named_shape("Qwen3-0.6B").value();
  const auto time = predict(model, built(model, 4, Recompute::none), simple_device());
  const double matrices = 1024.0 * 4096 + 2048.0 * 1024 + 3.0 * 1024 * 3072;
  const double flops = 6.0 * 512 * 4 * (28 * matrices + 151936.0 * 1024);
  EXPECT_NEAR(time.gemm, flops / 1e14, 1e-6 * time.gemm);
  EXPECT_LT(time.kernels + time.exposed + time.attention + time.slowed, 1e-6);
}

TEST(TimeModelTest, FullRecomputationAddsAForwardWithoutTheLastProduct) {
  const auto model = model::named_shape("Qwen3-0.6B").value();
  const auto device = simple_device();
  const auto none = predict(model, built(model, 1, Recompute::none), device);
  const auto full = predict(model, built(model, 1, Recompute::full), device);
  const double again = 1024.0 * 4096 + 2048.0 * 1024 + 2.0 * 1024 * 3072;
  EXPECT_NEAR(full.gemm - none.gemm, 2.0 * 512 * 28 * again / 1e14, 1e-9);
}

TEST(TimeModelTest, CommunicationThatComputeCannotHideIsExposed) {
  const auto model = model::named_shape("Qwen3-0.6B").value();
  auto device = simple_device();
  device.gather_rate = device.exchange_rate = 1e6;  // the link decides
  const auto what = built(model, 2, Recompute::none);
  const auto time = predict(model, what, device);
  EXPECT_NEAR(time.total(), what.sent / 1e6, 0.01 * time.total());
}

TEST(TimeModelTest, ComputeLosesWhatTheFileSaysBesideCommunication) {
  const auto model = model::named_shape("Qwen3-0.6B").value();
  auto device = simple_device();
  device.gather_rate = device.exchange_rate = 1e12;
  const auto what = built(model, 2, Recompute::none);
  const auto free = predict(model, what, device);
  EXPECT_EQ(free.slowed, 0);
  device.overlaps = {{512, 0.5, 1}};
  const auto slowed = predict(model, what, device);
  const double hidden = what.sent / 1e12 - slowed.exposed;
  EXPECT_NEAR(slowed.slowed, 0.5 * hidden, 0.01 * hidden);
  EXPECT_DOUBLE_EQ(slowed.gemm, free.gemm);
}

TEST(TimeModelTest, KernelsAreInterpolatedByBytesAtTheNearestWidth) {
  DeviceFile device;
  device.kernels = {
      {"swiglu", 3072, 1e6, 4e-6}, {"swiglu", 3072, 1e8, 40e-6}, {"swiglu", 12288, 1e8, 50e-6}};
  EXPECT_DOUBLE_EQ(kernel_seconds(device, "swiglu", 3072, 1e5), 4e-6);
  EXPECT_NEAR(kernel_seconds(device, "swiglu", 3000, 50.5e6), 22e-6, 1e-12);
  EXPECT_DOUBLE_EQ(kernel_seconds(device, "swiglu", 3072, 2e8), 80e-6);
  EXPECT_DOUBLE_EQ(kernel_seconds(device, "swiglu", 10000, 1e8), 50e-6);
  EXPECT_EQ(kernel_seconds(device, "rms_norm", 3072, 1e8), 0);
}

TEST(TimeModelTest, GroupsNameTheEndsOfTheModel) {
  EXPECT_EQ(group_of("backward L7", 29), "backward");
  EXPECT_EQ(group_of("backward L29", 29), "backward head");
  EXPECT_EQ(group_of("forward L0", 29), "forward embedding");
  EXPECT_EQ(group_of("reduce u3 bucket 1", 29), "reduce");
  EXPECT_EQ(group_of("clip", 29), "clip");
}

TEST(DeviceFileTest, ReadsBackWhatItWrote) {
  const auto path = (std::filesystem::temp_directory_path() / "zt_device_file_test.json").string();
  auto device = simple_device();
  device.overlaps = {{512, 0.25, 1.5}};
  write_device_file(path, device);
  const auto read = read_device_file(path);
  std::filesystem::remove(path);
  ASSERT_EQ(read.gemms.size(), 1U);
  EXPECT_EQ(read.gemms[0].out, 1024);
  EXPECT_DOUBLE_EQ(read.gemms[0].grad_weight, device.gemms[0].grad_weight);
  ASSERT_EQ(read.kernels.size(), 1U);
  EXPECT_EQ(read.kernels[0].name, "adamw");
  ASSERT_EQ(read.overlaps.size(), 1U);
  EXPECT_DOUBLE_EQ(read.overlaps[0].link_factor, 1.5);
  EXPECT_EQ(read.attention[0].q_heads, 16);
}

TEST(DeviceFileTest, ADamagedFileIsAnErrorThatNamesIt) {
  const auto path = (std::filesystem::temp_directory_path() / "zt_device_file_bad.json").string();
  std::ofstream(path) << "{\"device\": 3}";
  try {
    (void)read_device_file(path);
    FAIL() << "accepted";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos);
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace zt::plan
