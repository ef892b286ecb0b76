#include "model/qwen3.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "base/test_folder.h"
#include "model/init.h"

namespace zt::model {
namespace {

using nlohmann::json;

class Qwen3ConfigTest : public ::testing::Test {
 protected:
  [[nodiscard]] Qwen3Config read(const std::string& text) const {
    folder_.write("config.json", text);
    return read_qwen3_config(folder_.root().string());
  }
  [[nodiscard]] std::string error(const json& config) const {
    try {
      static_cast<void>(read(config.dump()));
    } catch (const ConfigError& problem) {
      return problem.what();
    }
    return "";
  }
  TestFolder folder_;
};

/// The keys that transformers 4 writes.
json version4() {
  return {{"model_type", "qwen3"},
          {"hidden_size", 64},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 32},
          {"intermediate_size", 96},
          {"vocab_size", 300},
          {"max_position_embeddings", 4096},
          {"rope_theta", 500000.0},
          {"rope_scaling", nullptr},
          {"rms_norm_eps", 1e-5},
          {"initializer_range", 0.05},
          {"tie_word_embeddings", true},
          {"hidden_act", "silu"},
          {"attention_bias", false},
          {"attention_dropout", 0.0},
          {"sliding_window", nullptr},
          {"use_sliding_window", false},
          {"torch_dtype", "bfloat16"}};
}

TEST_F(Qwen3ConfigTest, BothVersionsOfTheKeysGiveTheSameModel) {
  auto version5 = version4();
  version5.erase("rope_theta");
  version5.erase("rope_scaling");
  version5["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 500000.0}};
  version5["layer_types"] = {"full_attention", "full_attention"};
  for (const auto& keys : {version4(), version5}) {
    const auto config = read(keys.dump());
    EXPECT_EQ(config.hidden, 64);
    EXPECT_EQ(config.layers, 2);
    EXPECT_EQ(config.heads, 4);
    EXPECT_EQ(config.kv_heads, 2);
    EXPECT_EQ(config.head_dim, 32);
    EXPECT_EQ(config.ffn, 96);
    EXPECT_EQ(config.vocab, 300);
    EXPECT_EQ(config.rope_theta, 500000.0);
    EXPECT_EQ(config.rms_epsilon, 1e-5);
    EXPECT_EQ(config.init_range, 0.05);
    EXPECT_TRUE(config.tied);
  }
}

TEST_F(Qwen3ConfigTest, AbsentKeysMeanWhatTransformersMakesOfThem) {
  auto keys = version4();
  for (const char* key :
       {"head_dim", "rope_theta", "rms_norm_eps", "initializer_range", "tie_word_embeddings"})
    keys.erase(key);
  keys["num_key_value_heads"] = nullptr;
  const auto config = read(keys.dump());
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_EQ(config.rms_epsilon, 1e-6);
  EXPECT_EQ(config.init_range, 0.02);
  EXPECT_FALSE(config.tied);
}

TEST_F(Qwen3ConfigTest, RefusesByNameWhatIsNotBuilt) {
  const std::pair<const char*, json> cases[] = {
      {"model_type", "llama"},
      {"attention_bias", true},
      {"use_sliding_window", true},
      {"hidden_act", "gelu"},
      {"attention_dropout", 0.1},
      {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}},
      {"rope_scaling", {{"type", "linear"}}},
      {"rope_parameters", {{"rope_type", "llama3"}}},
      {"layer_types", {"full_attention", "sliding_attention"}},
      {"num_key_value_heads", 3},
      {"head_dim", 33},
      {"hidden_size", 0},
      {"hidden_size", -1},
      {"hidden_size", 1.5},
      {"vocab_size", "many"},
      {"vocab_size", 1LL << 40},
      {"num_hidden_layers", 1 << 20},
      {"rms_norm_eps", -1.0},
      {"rms_norm_eps", "x"},
      {"tie_word_embeddings", 1}};
  for (const auto& [key, value] : cases) {
    auto keys = version4();
    keys[key] = value;
    EXPECT_NE(error(keys).find(key), std::string::npos)
        << key << " " << value << ": " << error(keys);
  }
  for (const char* key : {"model_type", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "intermediate_size", "vocab_size"}) {
    auto keys = version4();
    keys.erase(key);
    EXPECT_NE(error(keys).find(std::string(key) + ": is missing"), std::string::npos)
        << error(keys);
  }
}

TEST_F(Qwen3ConfigTest, AllProblemsAreReportedTogether) {
  auto keys = version4();
  keys["hidden_size"] = 0;
  keys["vocab_size"] = "many";
  keys["attention_bias"] = true;
  const auto text = error(keys);
  for (const char* key : {"hidden_size", "vocab_size", "attention_bias"})
    EXPECT_NE(text.find(key), std::string::npos) << text;
}

TEST_F(Qwen3ConfigTest, DamagedFilesGiveErrorsOfOurs) {
  EXPECT_THROW(read_qwen3_config(folder_.path("absent")), FileError);
  EXPECT_THROW(read_qwen3_config(folder_.root().string()), FileError);
  for (const char* text : {"", "[]", "{", "3", "{\"hidden_size\": NaN}"})
    EXPECT_THROW(static_cast<void>(read(text)), FileError) << text;
  const auto good = version4().dump();
  const std::string alphabet = "{}[]\",:0123456789-eE.ntf ";
  std::mt19937 random(5);
  for (int round = 0; round < 500; ++round) {
    auto text = good;
    for (int i = 0; i < 2; ++i) text[random() % text.size()] = alphabet[random() % alphabet.size()];
    try {
      static_cast<void>(read(text));
    } catch (const ConfigError&) {
    } catch (const FileError&) {
    }
  }
}

TEST(Qwen3Test, NamedShapesHaveThePublishedParameterCounts) {
  const std::pair<const char*, std::int64_t> counts[] = {
      {"Qwen3-0.6B", 596'049'920}, {"Qwen3-1.7B", 1'720'574'976}, {"Qwen3-4B", 4'022'468'096},
      {"Qwen3-8B", 8'190'735'360}, {"Qwen3-14B", 14'768'307'200}, {"Qwen3-32B", 32'762'123'264}};
  ASSERT_EQ(shape_names().size(), std::size(counts));
  for (const auto& [name, count] : counts) {
    const auto config = named_shape(name);
    ASSERT_TRUE(config.has_value()) << name;
    EXPECT_EQ(num_params(*config), count) << name;
    std::int64_t declared = 0;
    for (const auto& param : make_qwen3(*config).params) declared += param.numel().value;
    EXPECT_EQ(declared, count) << name;
  }
  EXPECT_FALSE(named_shape("Qwen3-9B").has_value());
}

TEST(Qwen3Test, TrainingFlopsCountCausalAttentionOnce) {
  const auto config = *named_shape("Qwen3-0.6B");
  // Matmul weights: all parameters but the norms; the tied head is one GEMM.
  const double norms = 28.0 * (2 * 1024 + 2 * 128) + 1024;
  const double weights = static_cast<double>(num_params(config)) - norms;
  EXPECT_DOUBLE_EQ(train_flops_per_token(config, 512), 6 * weights + 6.0 * 28 * 16 * 128 * 512);
  double layers = 0;
  for (const auto& layer : make_qwen3(config).layers)
    layers += layer->forward_flops({.batch = 2, .sequence = 512});
  EXPECT_DOUBLE_EQ(3 * layers / 1024, train_flops_per_token(config, 512));
}

TEST(Qwen3Test, FusedProjectionsAreAdjacentAndOnlyNormsAreNotDecayed) {
  const auto model = make_qwen3({.hidden = 8,
                                 .layers = 1,
                                 .heads = 2,
                                 .kv_heads = 1,
                                 .head_dim = 4,
                                 .ffn = 16,
                                 .vocab = 32,
                                 .tied = true});
  EXPECT_EQ(model.params.front().aliases, std::vector<std::string>{"lm_head.weight"});
  EXPECT_EQ(model.units.size(), 3U);
  EXPECT_EQ(model.layers.back()->params().back(), model.layers.front()->params().front()) << "tied";
  for (const auto& param : model.params) {
    const bool norm = param.name.find("norm") != std::string::npos;
    EXPECT_EQ(param.decay, !norm) << param.name;
    EXPECT_EQ(param.init == layout::Init::ones, norm) << param.name;
    bool follows = false;
    for (const char* name : {"k_proj", "v_proj", "up_proj"})
      follows |= param.name.find(name) != std::string::npos;
    EXPECT_EQ(param.adjacent, follows) << param.name;
  }
}

TEST(InitTest, ValuesDoNotDependOnHowAParameterIsCut) {
  const layout::ParamSpec param{.name = "w", .shape = {100, 37}};
  std::vector<float> whole(3700);
  fill_initial(param, 3, 42, 0, whole);
  std::vector<float> pieces(3700);
  for (std::size_t begin = 0; begin < pieces.size(); begin += 613) {
    const auto count = std::min<std::size_t>(613, pieces.size() - begin);
    fill_initial(param, 3, 42, static_cast<std::int64_t>(begin),
                 std::span(pieces).subspan(begin, count));
  }
  EXPECT_EQ(whole, pieces);
  std::vector<float> other(3700);
  fill_initial(param, 4, 42, 0, other);
  EXPECT_NE(whole, other);
  fill_initial(param, 3, 43, 0, other);
  EXPECT_NE(whole, other);
}

TEST(InitTest, ValuesAreNormalWithTheDeclaredDeviation) {
  constexpr std::size_t kCount = 200'000;
  std::vector<float> values(kCount);
  fill_initial({.name = "w", .shape = {200, 1000}, .init_scale = 0.5}, 0, 7, 0, values);
  double mean = 0, square = 0, fourth = 0, neighbour = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    const double x = values[i] / 0.5;
    mean += x / kCount;
    square += x * x / kCount;
    fourth += x * x * x * x / kCount;
    if (i > 0) neighbour += x * values[i - 1] / 0.5 / kCount;
  }
  // Five standard errors: of a mean 1/sqrt(n), of the square sqrt(2/n), of the fourth power
  // sqrt(96/n).
  const double error = 5 / std::sqrt(static_cast<double>(kCount));
  EXPECT_NEAR(mean, 0, error);
  EXPECT_NEAR(square, 1, error * std::sqrt(2.0));
  EXPECT_NEAR(fourth, 3, error * std::sqrt(96.0));
  EXPECT_NEAR(neighbour, 0, error);
  std::vector<float> ones(5);
  fill_initial({.name = "n", .shape = {5}, .init = layout::Init::ones}, 0, 7, 0, ones);
  EXPECT_EQ(ones, std::vector<float>(5, 1.0F));
}

}  // namespace
}  // namespace zt::model
