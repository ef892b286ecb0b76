#include "plan/time_model.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "plan/choose.h"

namespace zt::plan {
namespace {

/// A device on which a product takes 2 x rows x in x out / 1e14 seconds and all else almost
/// nothing.
DeviceFile simple_device() {
  DeviceFile device;
  device.device = "simple";
  const double seconds = 2.0 * 1024 * 1024 * 1024 / 1e14;
  device.gemms = {{1024, 1024, 1024, seconds, seconds, seconds}};
  device.attention = {{1, 512, 16, 8, 128, 1e-12, 1e-12}};
  device.row_rate = device.flat_rate = 1e18;
  device.link_rate = 1e18;
  return device;
}

Candidate candidate_of(const model::Qwen3Config& model, int micro_steps, Recompute recompute) {
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
  return Planner(parts, {.device = Device::cuda, .world = 2, .local_world = 2}).measure(options);
}

TEST(TimeModelTest, ProductsOfAStepFollowTheirFlops) {
  const auto model = model::named_shape("Qwen3-0.6B").value();
  const auto time =
      predict_step(model, candidate_of(model, 4, Recompute::none), 2, simple_device());
  const double matrices = 1024.0 * 4096 + 2048.0 * 1024 + 3.0 * 1024 * 3072;
  const double flops = 6.0 * 512 * 4 * (28 * matrices + 151936.0 * 1024);
  EXPECT_NEAR(time.gemm, flops / 1e14, 1e-6 * time.gemm);
  EXPECT_LT(time.kernels + time.exposed + time.attention, 1e-6);
}

TEST(TimeModelTest, FullRecomputationAddsAForwardWithoutTheLastProduct) {
  const auto model = model::named_shape("Qwen3-0.6B").value();
  const auto device = simple_device();
  const auto none = predict_step(model, candidate_of(model, 1, Recompute::none), 2, device);
  const auto full = predict_step(model, candidate_of(model, 1, Recompute::full), 2, device);
  const double again = 1024.0 * 4096 + 2048.0 * 1024 + 2.0 * 1024 * 3072;
  EXPECT_NEAR(full.gemm - none.gemm, 2.0 * 512 * 28 * again / 1e14, 1e-9);
}

TEST(TimeModelTest, CommunicationThatComputeCannotHideIsExposed) {
  const auto model = model::named_shape("Qwen3-0.6B").value();
  auto device = simple_device();
  device.link_rate = 1e6;  // the link decides
  const auto candidate = candidate_of(model, 2, Recompute::none);
  const auto time = predict_step(model, candidate, 2, device);
  EXPECT_NEAR(time.total(), static_cast<double>(candidate.costs.sent.value) / 1e6,
              0.01 * time.total());
}

TEST(DeviceFileTest, ReadsBackWhatItWrote) {
  const auto path = (std::filesystem::temp_directory_path() / "zt_device_file_test.json").string();
  auto device = simple_device();
  device.kernel_gap = 2e-6;
  write_device_file(path, device);
  const auto read = read_device_file(path);
  std::filesystem::remove(path);
  ASSERT_EQ(read.gemms.size(), 1U);
  EXPECT_EQ(read.gemms[0].out, 1024);
  EXPECT_DOUBLE_EQ(read.gemms[0].grad_weight, device.gemms[0].grad_weight);
  EXPECT_DOUBLE_EQ(read.kernel_gap, 2e-6);
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
