#include "generate/settings.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace zt::generate {
namespace {

std::string refusal(const std::string& text) {
  Settings settings;
  try {
    read_generation_config(text, "generation_config.json", settings);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GenerationConfigTest, ReadsWhatQwen3FoldersHold) {
  Settings settings;
  read_generation_config(
      R"({"bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643],
          "pad_token_id": 151643, "temperature": 0.6, "top_k": 20, "top_p": 0.95,
          "transformers_version": "4.51.0"})",
      "x", settings);
  EXPECT_TRUE(settings.do_sample);
  EXPECT_EQ(settings.eos, (std::vector<std::int32_t>{151645, 151643}));
  EXPECT_EQ(settings.temperature, 0.6);
  EXPECT_EQ(settings.top_k, 20);
  EXPECT_EQ(settings.top_p, 0.95);
}

TEST(GenerationConfigTest, NullAndNeutralValuesChangeNothing) {
  EXPECT_EQ(refusal(R"({"num_beams": 1, "typical_p": 1.0, "stop_strings": null,
                        "bad_words_ids": [], "use_cache": true, "top_k": null})"),
            "");
}

TEST(GenerationConfigTest, WhatIsNotBuiltIsRefusedByName) {
  for (const char* text :
       {R"({"num_beams": 4})", R"({"stop_strings": ["x"]})", R"({"typical_p": 0.9})",
        R"({"guidance_scale": 1.5})", R"({"bad_words_ids": [[1]]})", R"({"max_time": 3})",
        R"({"num_return_sequences": 2})", R"({"penalty_alpha": 0.6})"}) {
    const auto message = refusal(text);
    const std::string key(text + 2, std::string(text).find('"', 2) - 2);
    EXPECT_NE(message.find(key + " is not built"), std::string::npos) << text << message;
  }
}

TEST(GenerationConfigTest, EveryWrongValueIsListed) {
  const auto message = refusal(R"({"top_k": -1, "temperature": "hot", "eos_token_id": [1, "a"]})");
  for (const char* key : {"top_k: got -1", "temperature: got \"hot\"", "eos_token_id: got"}) {
    EXPECT_NE(message.find(key), std::string::npos) << message;
  }
  EXPECT_NE(refusal("[1]").find("not a JSON object"), std::string::npos);
}

TEST(GenerationConfigTest, SettingsThatCannotBeAreListedTogether) {
  Settings settings;
  settings.temperature = 0;
  settings.top_p = 1.5;
  settings.eos = {99};
  try {
    check_settings(settings, 50);
    FAIL();
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    for (const char* key : {"max_new_tokens", "temperature", "top_p", "eos_token_id: got 99"}) {
      EXPECT_NE(text.find(key), std::string::npos) << text;
    }
  }
}

TEST(GenerationConfigTest, MaxNewTokensGoesBeforeMaxLength) {
  Settings settings;
  settings.max_length = 10;
  EXPECT_EQ(settings.new_tokens(4), 6);
  settings.max_new_tokens = 3;
  EXPECT_EQ(settings.new_tokens(4), 3);
}

}  // namespace
}  // namespace zt::generate
