#include "model/mamba.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/test_folder.h"
#include "model/family.h"
#include "model/init.h"

namespace zt::model {
namespace {

using nlohmann::json;

/// A folder with a config.json.
class Folder : public TestFolder {
 public:
  explicit Folder(const json& config) { write("config.json", config.dump()); }
  [[nodiscard]] std::string path() const { return root().string(); }
};

std::string error_of(const json& config) {
  const Folder folder(config);
  try {
    (void)read_model(folder.path());
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(MambaTest, ParameterCountsAreThoseOfThePublishedModels) {
  const std::pair<const char*, std::int64_t> published[] = {{"mamba-130m", 129'135'360},
                                                            {"mamba-370m", 371'516'416},
                                                            {"mamba-790m", 793'204'224},
                                                            {"mamba-1.4b", 1'372'178'432},
                                                            {"mamba-2.8b", 2'768'345'600}};
  for (const auto& [name, count] : published) EXPECT_EQ(num_params(*named_mamba(name)), count);
}

TEST(MambaTest, PresetsAreCountedTrulyNotByTheirLabels) {
  EXPECT_EQ(num_params(*named_mamba("7b_mamba")), 6'922'702'592);  // labelled 6.89B
  EXPECT_EQ(num_params(*named_mamba("3b_mamba")), 2'761'866'240);  // labelled 2.84B
  EXPECT_EQ(num_params(*named_mamba("1b_mamba")), 737'529'856);
}

TEST(MambaTest, AFolderCalledLikeASizeIsThatFolder) {
  namespace fs = std::filesystem;
  const auto before = fs::current_path();
  std::string pattern = (fs::temp_directory_path() / "zt_named_XXXXXX").string();
  const fs::path root = mkdtemp(pattern.data());
  fs::current_path(root);
  fs::create_directory("mamba-130m");
  EXPECT_EQ(find_model("mamba-130m", "").num_params(), 129'135'360);  // nothing in it yet
  auto small = *named_mamba("mamba:d_model=32,n_layers=2,vocab_size=100");
  std::ofstream("mamba-130m/config.json") << Model(small).config_json();
  EXPECT_FALSE(named_model("mamba-130m"));
  EXPECT_EQ(find_model("mamba-130m", "").num_params(), num_params(small));
  fs::current_path(before);
  fs::remove_all(root);
}

TEST(MambaTest, TheLayersDeclareAsManyParametersAsTheFormulaCounts) {
  for (const bool tied : {true, false}) {
    MambaConfig config;
    config.hidden = 24, config.inner = 44, config.layers = 2, config.vocab = 50, config.rank = 3;
    config.tied = tied;
    std::int64_t total = 0;
    for (const auto& param : make_mamba(config).params) {
      total += param.numel().value;
      EXPECT_EQ(param.keep_fp32, keeps_fp32(param.name)) << param.name;
    }
    EXPECT_EQ(total, num_params(config));
  }
}

TEST(MambaTest, ReadsHuggingFaceKeysAndTheOnesOfTheOlderPackage) {
  const json current = {{"model_type", "mamba"},  {"hidden_size", 96},
                        {"num_hidden_layers", 3}, {"vocab_size", 501},
                        {"time_step_rank", 5},    {"state_size", 8},
                        {"conv_kernel", 3},       {"residual_in_fp32", false}};
  const auto read = read_model(Folder(current).path());
  ASSERT_NE(read.as<MambaConfig>(), nullptr);
  const auto& config = *read.as<MambaConfig>();
  EXPECT_EQ(config.inner, 192);
  EXPECT_EQ(config.rank, 5);
  EXPECT_EQ(config.state, 8);
  EXPECT_EQ(config.conv, 3);
  EXPECT_FALSE(config.fp32_residual);
  EXPECT_TRUE(config.tied);
  EXPECT_EQ(config.vocab, 501);
  const json older = {
      {"d_model", 96}, {"n_layer", 3}, {"vocab_size", 501}, {"ssm_cfg", json::object()}};
  const auto original = read_model(Folder(older).path());
  ASSERT_NE(original.as<MambaConfig>(), nullptr);
  EXPECT_EQ(original.as<MambaConfig>()->vocab, 504) << "padded to a multiple of 8";
  EXPECT_EQ(original.as<MambaConfig>()->rank, 6);
}

TEST(MambaTest, TheOlderPackagesHybridsAreRefusedAndItsTimeStepsAreRead) {
  json older = {{"d_model", 96},
                {"n_layer", 3},
                {"vocab_size", 501},
                {"pad_vocab_size_multiple", 16},
                {"d_intermediate", 0},
                {"attn_layer_idx", json::array()},
                {"attn_cfg", json::object()},
                {"ssm_cfg",
                 {{"layer", "Mamba1"},
                  {"dt_rank", 4},
                  {"dt_min", 0.002},
                  {"dt_max", 0.2},
                  {"dt_init_floor", 1e-3},
                  {"dt_scale", 2.0},
                  {"dt_init", "constant"}}}};
  const auto config = read_mamba_config(Folder(older).path());
  EXPECT_EQ(config.vocab, 512);
  EXPECT_EQ(config.rank, 4);
  EXPECT_EQ(config.time_step_min, 0.002);
  EXPECT_EQ(config.time_step_max, 0.2);
  EXPECT_EQ(config.time_step_floor, 1e-3);
  EXPECT_EQ(config.time_step_scale, 2.0);
  EXPECT_TRUE(config.constant_time_step);
  older["attn_layer_idx"] = {1};
  older["d_intermediate"] = 64;
  older["ssm_cfg"]["dt_init"] = "zeros";
  const auto error = error_of(older);
  for (const char* key : {"attn_layer_idx", "d_intermediate", "ssm_cfg.dt_init"}) {
    EXPECT_NE(error.find(key), std::string::npos) << key << " in " << error;
  }
}

TEST(MambaTest, WhatItWritesIsWhatItReads) {
  auto config = *named_mamba("mamba-130m");
  config.rank = 17;
  config.tied = false;
  config.conv_bias = false;
  const auto again = read_mamba_config(Folder(json::parse(mamba_config_json(config))).path());
  EXPECT_EQ(mamba_config_json(again), mamba_config_json(config));
}

TEST(MambaTest, RefusesByNameWhatIsNotBuilt) {
  json config = {
      {"model_type", "mamba"}, {"hidden_size", 96}, {"num_hidden_layers", 3}, {"vocab_size", 501}};
  EXPECT_EQ(error_of(config), "");
  config["use_bias"] = true;
  config["state_size"] = 65;
  config["expand"] = 0;
  config["hidden_act"] = "gelu";
  const auto error = error_of(config);
  for (const char* key : {"use_bias", "state_size", "expand", "hidden_act"}) {
    EXPECT_NE(error.find(key), std::string::npos) << key << " in " << error;
  }
  EXPECT_NE(error_of({{"model_type", "mamba2"}}).find("\"mamba2\""), std::string::npos);
}

TEST(MambaTest, InitialValuesAreHuggingFaces) {
  MambaConfig config;
  config.hidden = 64, config.inner = 128, config.layers = 4, config.vocab = 50, config.rank = 4;
  config.rescale_out_proj = true;
  const auto params = make_mamba(config).params;
  const auto values_of = [&](const std::string& end) {
    for (std::size_t p = 0; p < params.size(); ++p) {
      if (!params[p].name.ends_with("layers.1.mixer." + end)) continue;
      std::vector<float> values(static_cast<std::size_t>(params[p].numel().value));
      fill_initial(params[p], static_cast<int>(p), 3, 0, values);
      return values;
    }
    return std::vector<float>{};
  };
  const auto a_log = values_of("A_log");
  ASSERT_EQ(a_log.size(), 128U * 16U);
  EXPECT_FLOAT_EQ(a_log[16 * 5 + 0], 0.0F);
  EXPECT_FLOAT_EQ(a_log[16 * 5 + 15], std::log(16.0F));
  EXPECT_EQ(values_of("D")[7], 1.0F);
  EXPECT_EQ(values_of("conv1d.bias")[7], 0.0F);
  for (const float bias : values_of("dt_proj.bias")) {
    const double step = std::log1p(std::exp(static_cast<double>(bias)));
    EXPECT_GE(step, 0.999e-3);
    EXPECT_LE(step, 0.1001);
  }
  const auto largest = [](const std::vector<float>& values) {
    float most = 0;
    for (const float value : values) most = std::max(most, std::abs(value));
    return most;
  };
  EXPECT_NEAR(largest(values_of("dt_proj.weight")), 0.5, 0.02);      // rank^-0.5
  EXPECT_NEAR(largest(values_of("conv1d.weight")), 0.5, 0.02);       // taps^-0.5
  EXPECT_NEAR(largest(values_of("out_proj.weight")), 0.0442, 1e-3);  // (inner x layers)^-0.5
}

}  // namespace
}  // namespace zt::model
