#include "checkpoint/tools.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "checkpoint/huggingface.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/native_test_save.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using layout::StateKind;
using namespace testing;

std::vector<std::string> differences(const std::string& a, const std::string& b) {
  return diff(open_checkpoint(a), open_checkpoint(b), {}).lines;
}

std::vector<float> weights_of(const std::string& folder, const layout::ParamSpec& param) {
  std::vector<float> values(static_cast<std::size_t>(param.numel().value));
  HuggingFaceWeights(folder).read(param, 0, values);
  return values;
}

TEST(ToolsTest, InspectSaysWhatACheckpointIs) {
  const SaveFolder folder;
  save_on(2, small_save(folder, 20));
  const auto text = inspect(folder.path("out"), true);  // the newest of an output directory
  for (const char* part :
       {"checkpoint-20", "native", "step        20", "bf16", "master, exp_avg, exp_avg_sq (fp32)",
        "in 4 tensors", "model.layers.1.mlp.w [7, 5, 11]"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_THROW(static_cast<void>(inspect(folder.path("nothing"), false)), CheckpointError);
  EXPECT_THROW(static_cast<void>(inspect(folder.path("source"), false)), CheckpointError);
}

TEST(ToolsTest, DiffNamesEveryDifference) {
  const SaveFolder folder;
  const auto first = save_on(2, small_save(folder, 10));
  auto options = small_save(folder, 10);
  options.output_dir = folder.path("other");
  const auto second = save_on(3, options);
  EXPECT_TRUE(differences(first, second).empty());
  auto params = small_params();
  params[3].shape = {7, 55};
  params[1].name = "model.layers.0.mlp.v";
  options.run_state.samples_seen = 9;
  options.run_state.global_step = 11;
  const auto third = save_on(1, options, params);
  std::string all;
  for (const auto& line : differences(first, third)) all += line + "\n";
  for (const char* part :
       {"model.layers.0.mlp.w: only in the first", "model.layers.0.mlp.v: only in the second",
        "model.layers.1.mlp.w: shape [7, 5, 11] and [7, 55]", "run/samples_seen: 0 and 9"}) {
    EXPECT_NE(all.find(part), std::string::npos) << all;
  }
}

TEST(ToolsTest, DiffCountsElementsAndMeasuresTheirDistance) {
  const SaveFolder folder;
  auto options = small_save(folder, 10);
  options.tensors = {DType::f32, false};
  const auto first = save_on(1, options);
  fs::copy(first, folder.path("copy"));
  const std::string weights = folder.path("copy/model.safetensors");
  auto bytes = read_file(weights);
  const float changed = 100.0F;  // the last element of model.layers.1.mlp.w
  std::memcpy(bytes.data() + bytes.size() - sizeof(changed), &changed, sizeof(changed));
  write_file(weights, bytes);
  const auto lines = differences(first, folder.path("copy"));
  ASSERT_EQ(lines.size(), 1U);
  // 1 + 3 x 0.125 + 384 against 100.
  EXPECT_NE(lines[0].find("1 of 385 elements differ, by at most 285 (relative 0.741)"),
            std::string::npos)
      << lines[0];
}

TEST(ToolsTest, MergedWeightsAreTheMasters) {
  const SaveFolder folder;
  const auto saved = save_on(4, small_save(folder, 5));
  convert_to_huggingface(open_checkpoint(saved),
                         {.target = folder.path("hf"), .dtype = DType::f32, .shard_bytes = {9000}},
                         {});
  const auto params = small_params();
  HuggingFaceWeights(folder.path("hf")).check(params);
  EXPECT_TRUE(fs::exists(folder.path("hf/model.safetensors.index.json")));
  EXPECT_TRUE(fs::exists(folder.path("hf/tokenizer.json")));
  for (int p = 0; p < 4; ++p) {
    const auto values = weights_of(folder.path("hf"), params[static_cast<std::size_t>(p)]);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(values[i], value_of(StateKind::master, p, static_cast<std::int64_t>(i)));
    }
  }
}

TEST(ToolsTest, ConvertedThereAndBackIsTheSameFile) {
  const SaveFolder folder;
  const auto saved = save_on(2, small_save(folder, 5));
  convert_to_huggingface(open_checkpoint(saved), {.target = folder.path("hf")}, {});
  EXPECT_EQ(read_file(folder.path("hf/model.safetensors")),
            read_file(saved + "/model.safetensors"));
  const auto native =
      convert_to_native(open_checkpoint(saved), {.target = folder.path("again")}, {});
  EXPECT_EQ(native, folder.path("again/checkpoint-5"));
  EXPECT_TRUE(verify(native).problems.empty());
  for (const char* name : {"model.safetensors", "zero/master.safetensors",
                           "zero/exp_avg.safetensors", "zero/exp_avg_sq.safetensors"}) {
    EXPECT_EQ(read_file(native + "/" + name), read_file(saved + "/" + name)) << name;
  }
  EXPECT_TRUE(differences(saved, native).empty());
  const auto wide = convert_to_native(open_checkpoint(saved),
                                      {.target = folder.path("wide"), .dtype = DType::f32}, {});
  const NativeCheckpoint fp32(wide);
  EXPECT_FALSE(fp32.has(StateKind::master));
  std::vector<float> values(33);
  fp32.read(StateKind::weight, small_params()[2], 0, values);
  EXPECT_EQ(values[7], value_of(StateKind::master, 2, 7));
}

TEST(ToolsTest, DeepSpeedLayoutHoldsTheSameStateAndComesBack) {
  const SaveFolder folder;
  write_file(folder.path("source/config.json"),
             R"({"model_type": "qwen3", "tie_word_embeddings": true})");
  const auto saved = save_on(2, small_save(folder, 5));
  for (const auto cut :
       {DeepSpeedLayout::stage1, DeepSpeedLayout::stage2, DeepSpeedLayout::stage3}) {
    const auto target = folder.path("ds" + std::to_string(static_cast<int>(cut)));
    const auto written =
        convert_to_deepspeed(open_checkpoint(saved), {.target = target}, {cut, 3, "kept"}, {});
    EXPECT_EQ(written, target + "/kept");
    const auto opened = open_checkpoint(target);
    EXPECT_EQ(opened.format, "deepspeed");
    const auto original = open_checkpoint(saved);
    for (const auto kind : {StateKind::master, StateKind::exp_avg, StateKind::exp_avg_sq}) {
      for (const auto& param : original.params) {
        std::vector<float> a(static_cast<std::size_t>(param.numel().value)), b(a.size());
        original.source->read(kind, param, 0, a);
        opened.source->read(kind, param, 0, b);
        EXPECT_EQ(a, b) << target << " " << param.name;
      }
    }
    const auto native =
        convert_to_native(opened, {.target = target + "-native", .model = saved}, {});
    EXPECT_EQ(read_file(native + "/zero/exp_avg.safetensors").size(),
              read_file(saved + "/zero/exp_avg.safetensors").size());
  }
}

TEST(ToolsTest, NoCheckpointIsReplacedAndTheRunsSettingsGoAlong) {
  const SaveFolder folder;
  auto options = small_save(folder, 5);
  options.config = R"({"run.seed": "7"})";
  const auto saved = save_on(2, options);
  const auto native =
      convert_to_native(open_checkpoint(saved), {.target = folder.path("again")}, {});
  EXPECT_EQ(NativeCheckpoint(native).config(), NativeCheckpoint(saved).config());
  EXPECT_EQ(NativeCheckpoint(native).config(), R"({"run.seed":"7"})");
  const auto before = read_file(saved + "/zt_run_state.json");
  EXPECT_THROW(convert_to_native(open_checkpoint(saved),
                                 {.target = fs::path(saved).parent_path().string()}, {}),
               ConfigError)
      << "a checkpoint replaced itself";
  EXPECT_EQ(read_file(saved + "/zt_run_state.json"), before);
  const ConvertOptions to{.target = folder.path("ds")};
  const auto tag = convert_to_deepspeed(open_checkpoint(saved), to, {}, {});
  EXPECT_THROW(
      convert_to_deepspeed(open_checkpoint(saved), to, {DeepSpeedLayout::stage3, 2, ""}, {}),
      ConfigError);
  EXPECT_TRUE(fs::exists(tag + "/mp_rank_00_model_states.pt")) << "that of stage 1";
  EXPECT_NO_THROW(convert_to_deepspeed(open_checkpoint(saved), to, {{}, 1, "other"}, {}));
}

TEST(ToolsTest, AnOccupiedOrFailedTargetIsLeftAlone) {
  const SaveFolder folder;
  const auto saved = save_on(2, small_save(folder, 5));
  fs::create_directories(folder.path("full"));
  write_file(folder.path("full/mine"), "x");
  EXPECT_THROW(convert_to_huggingface(open_checkpoint(saved), {.target = folder.path("full")}, {}),
               ConfigError);
  EXPECT_EQ(files_below(folder.path("full")), std::vector<std::string>{"mine"});
  const auto stop = [](Bytes, Bytes) { throw CheckpointError("stopped"); };
  EXPECT_THROW(
      convert_to_huggingface(open_checkpoint(saved), {.target = folder.path("new/hf")}, stop),
      CheckpointError);
  EXPECT_TRUE(files_below(folder.path("new")).empty());
}

TEST(ToolsTest, VerifyReadsAnyFormat) {
  const SaveFolder folder;
  const auto saved = save_on(2, small_save(folder, 5));
  std::atomic<int> told{0};
  const auto whole = verify_any(folder.path("out"), [&](Bytes, Bytes) { ++told; });
  EXPECT_TRUE(whole.problems.empty());
  EXPECT_EQ(whole.read, verify(saved).read);
  EXPECT_GT(told.load(), 0);
  convert_to_huggingface(open_checkpoint(saved), {.target = folder.path("hf")}, {});
  EXPECT_FALSE(verify_any(folder.path("hf"), {}).hashed);
  auto bytes = read_file(saved + "/config.json");
  bytes[3] ^= 1;
  write_file(saved + "/config.json", bytes);
  EXPECT_EQ(verify_any(saved, {}).problems.size(), 1U);
  write_file(folder.path("hf/model.safetensors"), "short");
  EXPECT_EQ(verify_any(folder.path("hf"), {}).problems.size(), 1U);
}

}  // namespace
}  // namespace zt::checkpoint
