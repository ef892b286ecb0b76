#include <gtest/gtest.h>

#include <ctime>
#include <sstream>

#include "model/qwen3.h"
#include "plan/choose.h"
#include "plan/run_plan.h"
#include "plan/table.h"

namespace zt::plan {
namespace {

TEST(FindModelTest, KnowsThePublishedShapesAndNamesThemOtherwise) {
  for (const auto& name : model::shape_names()) {
    const auto found = find_model(name);
    EXPECT_EQ(found.name, name);
    EXPECT_GT(found.hidden_size, 0);
    EXPECT_GT(found.parts.units.size(), 2U);
  }
  try {
    static_cast<void>(find_model("Qwen3-9B"));
    FAIL() << "no such shape";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("Qwen3-8B"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("7B 13B"), std::string::npos) << error.what();
  }
}

TEST(FindModelTest, TakesSizesAsTheyAreWrittenInEitherCase) {
  EXPECT_EQ(find_model("7b").hidden_size, find_model("7B").hidden_size);
}

TEST(ShapesTest, ParametersAreThePublishedCounts) {
  const auto count = [](const char* name) {
    const auto found = find_model(name);
    return Planner(found.parts, {.world = 1}).num_params().value;
  };
  EXPECT_EQ(count("Qwen3-0.6B"), 596'049'920);
  EXPECT_EQ(count("Qwen3-8B"), 8'190'735'360);
  EXPECT_EQ(count("Qwen3-32B"), 32'762'123'264);
}

TEST(ShapesTest, ThirtyTwoBillionOn64RanksIsPlannedInSeconds) {
  const auto start = std::clock();  // time of this process: other programs do not count
  std::ostringstream out;
  const int code = run_plan(
      {"--model", "Qwen3-32B", "--nproc", "64", "--gpu_memory", "80GB", "--bf16", "--block_size",
       "4096", "--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "16"},
      find_model, out);
  const auto taken = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_EQ(code, 0) << out.str();
  EXPECT_LT(taken, 30.0);  // about 4 s: the limit finds an explosion, not a slow machine
}

// What must be there whatever the layers need: 18 bytes per parameter on one rank.
TEST(ShapesTest, OneRankNeedsEighteenBytesPerParameterAndItsActivations) {
  const auto found = find_model("Qwen3-0.6B");
  const Planner planner(found.parts, {.device = Device::cuda, .world = 1});
  zero::EngineOptions options;
  options.precision.compute = DType::bf16;
  options.shape = {1, 512};
  options.micro_steps = 16;
  const auto rows = table(planner, options);
  for (const auto& row : rows) {
    if (std::string(offload_name(row.options.zero)) != "none") continue;
    EXPECT_GT(row.memory.device.arena.value, 18 * 596'049'920LL);
    EXPECT_LT(row.memory.device.arena.value, 18 * 596'049'920LL + 3'000'000'000);
  }
}

}  // namespace
}  // namespace zt::plan
