#include "checkpoint/huggingface.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/test_folder.h"
#include "checkpoint/pickle_writer.h"
#include "checkpoint/torch_writer.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;

class HuggingFaceTest : public ::testing::Test {
 protected:
  HuggingFaceTest() {
    put("source/config.json",
        R"({"model_type":"qwen3","dtype":"bfloat16","rope_parameters":{"rope_type":"default","rope_theta":5000.0}})");
    put("source/tokenizer.json", "exactly \xff these bytes\r\n");
    put("source/generation_config.json", "{}");
  }

  void put(const std::string& name, const std::string& bytes) const { folder_.write(name, bytes); }
  [[nodiscard]] std::string text(const std::string& name) const {
    std::ifstream in(root_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] std::string folder() const { return (root_ / "out").string(); }

  /// Saves the parameters with values 0, 1, 2, ... and returns the save's folder.
  void save(const std::vector<layout::ParamSpec>& params, std::int64_t shard_bytes) const {
    std::vector<layout::ParamId> order;
    for (int i = 0; i < static_cast<int>(params.size()); ++i) order.push_back({i});
    const auto source = (root_ / "source").string();
    HuggingFaceWriter writer({.folder = folder(),
                              .source = source,
                              .tokenizer_source = source,
                              .dtype = DType::f32,
                              .shard_bytes = {shard_bytes}},
                             params, order);
    for (const auto id : order) {
      std::vector<float> values(
          static_cast<std::size_t>(params[static_cast<std::size_t>(id.value)].numel().value));
      std::iota(values.begin(), values.end(), 0.0F);
      writer.write(id, {values.data(), static_cast<std::int64_t>(values.size()), DType::f32});
    }
    writer.finish();
  }

  TestFolder folder_;
  const fs::path root_ = folder_.root();
};

std::vector<layout::ParamSpec> params() {
  return {{.name = "model.embed_tokens.weight", .shape = {8, 4}, .aliases = {"lm_head.weight"}},
          {.name = "model.layers.0.w", .shape = {3, 4}},
          {.name = "model.norm.weight", .shape = {4}}};
}

void expect_values(const std::string& folder, const std::vector<layout::ParamSpec>& specs) {
  const HuggingFaceWeights weights(folder);
  weights.check(specs);
  for (const auto& param : specs) {
    std::vector<float> tail(2);
    const auto begin = param.numel().value - 2;
    weights.read(param, begin, tail);
    EXPECT_EQ(tail[0], static_cast<float>(begin)) << param.name;
    EXPECT_EQ(tail[1], static_cast<float>(begin + 1)) << param.name;
  }
}

TEST_F(HuggingFaceTest, OneFileWhenItFitsAndShardsWithAnIndexOtherwise) {
  save(params(), 1'000'000);
  EXPECT_TRUE(fs::exists(root_ / "out/model.safetensors"));
  EXPECT_FALSE(fs::exists(root_ / "out/model.safetensors.index.json"));
  expect_values(folder(), params());
  put("out/model_of_the_user.safetensors", "kept");
  save(params(), 130);
  EXPECT_FALSE(fs::exists(root_ / "out/model.safetensors")) << "stale weights";
  EXPECT_TRUE(fs::exists(root_ / "out/model_of_the_user.safetensors"));
  const auto index = nlohmann::json::parse(text("out/model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 4 * (32 + 12 + 4));
  EXPECT_EQ(index["weight_map"].size(), 3U) << "a tied parameter is written once";
  EXPECT_EQ(index["weight_map"]["model.norm.weight"], "model-00002-of-00002.safetensors");
  expect_values(folder(), params());
  save(params(), 1'000'000);
  EXPECT_FALSE(fs::exists(root_ / "out/model.safetensors.index.json"));
  expect_values(folder(), params());
}

TEST_F(HuggingFaceTest, ASaveThatEndsBetweenTwoShardsLeavesNoMixtureOfTwoModels) {
  save(params(), 130);
  expect_values(folder(), params());
  const auto specs = params();
  HuggingFaceSave again{.folder = folder(), .shard_bytes = {130}};
  {
    HuggingFaceWriter writer(std::move(again), specs, {{0}, {1}, {2}});
    std::vector<float> values(32, -1.0F);
    writer.write({0}, {values.data(), 32, DType::f32});  // the run is killed here
  }
  EXPECT_THROW(HuggingFaceWeights{folder()}, FileError);
}

TEST_F(HuggingFaceTest, ConfigurationHasTheKeysOfBothVersionsAndTokenizerBytesAreKept) {
  save(params(), 1'000'000);
  const auto config = nlohmann::json::parse(text("out/config.json"));
  EXPECT_EQ(config["torch_dtype"], "float32");
  EXPECT_EQ(config["rope_theta"], 5000.0);
  EXPECT_TRUE(config["rope_scaling"].is_null());
  EXPECT_FALSE(config.contains("rope_parameters"));
  EXPECT_EQ(text("out/tokenizer.json"), text("source/tokenizer.json"));
  EXPECT_TRUE(fs::exists(root_ / "out/generation_config.json"));
}

TEST_F(HuggingFaceTest, EveryMissingUnexpectedAndMisshapenTensorIsNamed) {
  save(params(), 1'000'000);
  const std::vector<layout::ParamSpec> other{{.name = "model.embed_tokens.weight", .shape = {9, 4}},
                                             {.name = "model.layers.1.w", .shape = {3, 4}},
                                             {.name = "model.norm.weight", .shape = {4}}};
  try {
    HuggingFaceWeights(folder()).check(other);
    FAIL() << "the weights do not fit";
  } catch (const FileError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("missing: model.layers.1.w [3, 4]"), std::string::npos) << what;
    EXPECT_NE(what.find("unexpected: model.layers.0.w"), std::string::npos) << what;
    EXPECT_NE(what.find("model.embed_tokens.weight: got [8, 4], expected [9, 4]"),
              std::string::npos)
        << what;
    EXPECT_EQ(what.find("model.norm.weight"), std::string::npos) << what;
  }
}

TEST_F(HuggingFaceTest, TiedModelTakesFilesWithTheRedundantHead) {
  auto untied = params();
  untied[0].aliases.clear();
  untied.push_back({.name = "lm_head.weight", .shape = {8, 4}});
  save(untied, 1'000'000);
  expect_values(folder(), params());
  EXPECT_THROW(HuggingFaceWeights(folder()).check({params()[1]}), FileError);
}

TEST_F(HuggingFaceTest, ShardsMustExistAndHoldWhatTheIndexPromises) {
  save(params(), 130);
  const auto index = text("out/model.safetensors.index.json");
  auto promised = nlohmann::json::parse(index);
  promised["weight_map"]["model.layers.7.w"] = "model-00001-of-00002.safetensors";
  put("out/model.safetensors.index.json", promised.dump());
  try {
    const HuggingFaceWeights weights(folder());
    FAIL() << "the shard does not hold model.layers.7.w";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("promises 'model.layers.7.w'"), std::string::npos)
        << error.what();
  }
  put("out/model.safetensors.index.json", index);
  expect_values(folder(), params());
  fs::remove(root_ / "out/model-00002-of-00002.safetensors");
  EXPECT_THROW(HuggingFaceWeights{folder()}, FileError);
}

/// A state_dict as torch.save writes it: one fp32 tensor with the values first, first + 1, ...
void save_pickled(const std::string& path, const std::string& name, float first) {
  const std::vector<StorageRef> storages{{"0", TorchDType::f32, 12}};
  PickleWriter pickle;
  pickle.begin_dict();
  pickle.text(name);
  pickle.tensor(storages[0], 0, std::vector<std::int64_t>{3, 4});
  pickle.end_dict();
  std::vector<float> values(12);
  std::iota(values.begin(), values.end(), first);
  TorchWriter writer(path, pickle.take(), storages);
  writer.write(std::as_bytes(std::span(values)));
  writer.finish();
}

TEST_F(HuggingFaceTest, PickledWeightsAreReadWhereThereAreNoOthers) {
  const std::vector<layout::ParamSpec> one{{.name = "model.layers.0.w", .shape = {3, 4}}};
  const std::vector<layout::ParamSpec> two{one[0], {.name = "model.layers.1.w", .shape = {3, 4}}};
  const auto source = (root_ / "source").string();
  EXPECT_FALSE(has_weights(source));
  save_pickled(source + "/pytorch_model.bin", "model.layers.0.w", 0);
  EXPECT_TRUE(has_weights(source));
  expect_values(source, one);
  EXPECT_THROW(HuggingFaceWeights(source).check(two), FileError);
  fs::rename(source + "/pytorch_model.bin", source + "/pytorch_model-00001-of-00002.bin");
  save_pickled(source + "/pytorch_model-00002-of-00002.bin", "model.layers.1.w", 0);
  put("source/pytorch_model.bin.index.json",
      R"({"weight_map":{"model.layers.0.w":"pytorch_model-00001-of-00002.bin",
                        "model.layers.1.w":"pytorch_model-00002-of-00002.bin"}})");
  expect_values(source, two);
  save(params(), 1'000'000);
  save_pickled(folder() + "/pytorch_model.bin", "model.layers.0.w", 100);
  expect_values(folder(), params());  // safetensors win, as in transformers
}

TEST_F(HuggingFaceTest, BrokenFoldersAreRefused) {
  EXPECT_THROW(HuggingFaceWeights((root_ / "source").string()), FileError);
  for (const char* index : {"", "[]", R"({"weight_map":[]})", R"({"weight_map":{"a":1}})",
                            R"({"weight_map":{"a":"../out/model.safetensors"}})",
                            R"({"weight_map":{"a":"absent.safetensors"}})"}) {
    put("source/model.safetensors.index.json", index);
    EXPECT_THROW(HuggingFaceWeights((root_ / "source").string()), FileError) << index;
  }
}

}  // namespace
}  // namespace zt::checkpoint
