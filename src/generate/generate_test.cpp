#include "generate/generate.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/error.h"
#include "generate/family_decoder.h"
#include "model/init.h"
#include "testing/rank_launcher.h"

namespace zt::generate {
namespace {

using Ids = std::vector<std::int32_t>;

model::Model tiny(bool tied) {
  return model::Qwen3Config{.hidden = 24,
                            .layers = 2,
                            .heads = 4,
                            .kv_heads = 2,
                            .head_dim = 8,
                            .ffn = 40,
                            .vocab = 61,
                            .max_position = 64,
                            .init_range = 0.3,
                            .tied = tied};
}

/// Odd sizes; the bias of the convolution is there or not.
model::Model tiny_mamba(bool tied) {
  return model::MambaConfig{.hidden = 20,
                            .layers = 3,
                            .vocab = 61,
                            .inner = 36,
                            .state = 5,
                            .conv = tied ? 4 : 3,
                            .rank = 3,
                            .conv_bias = tied,
                            .tied = tied,
                            .init_range = 0.5};
}

std::vector<model::Model> families() {
  return {tiny(true), tiny(false), tiny_mamba(true), tiny_mamba(false)};
}

zero::ParamSource source_of(const layer::ModelParts& model) {
  return [params = model.params](layout::ParamId id, std::int64_t begin, std::span<float> values) {
    model::fill_initial(params.at(static_cast<std::size_t>(id.value)), id.value, 3, begin, values);
  };
}

std::unique_ptr<Decoder> decoder_of(const model::Model& config, DecoderShape shape,
                                    comm::Communicator& communicator, DType compute = DType::f32) {
  const auto model = config.make();
  auto weights = gather_weights(model, source_of(model), compute, {.communicator = &communicator});
  return make_decoder(config, model, std::move(weights), shape);
}

std::vector<Prompt> prompts_of(int count) {
  std::vector<Prompt> prompts;
  for (int i = 0; i < count; ++i) {
    Prompt prompt{.index = i};
    for (int t = 0; t < 1 + i * 5 % 13; ++t) prompt.tokens.push_back((i * 17 + t * 7) % 61);
    prompts.push_back(prompt);
  }
  return prompts;
}

std::map<std::int64_t, Ids> complete(Decoder& decoder, std::span<const Prompt> prompts,
                                     const Settings& settings) {
  std::map<std::int64_t, Ids> result;
  generate(decoder, prompts, settings,
           {.on_completion = [&](const Completion& c) { result[c.index] = c.tokens; }});
  return result;
}

Settings greedy() {
  Settings settings;
  settings.max_new_tokens = 9;
  return settings;
}

Settings sampling() {
  auto settings = greedy();
  settings.do_sample = true;
  settings.top_k = 12;
  settings.top_p = 0.95;
  return settings;
}

/// The cache is right when every new token is what a fresh prefill of all tokens before it gives.
TEST(GenerateTest, EveryStepEqualsAFreshPrefill) {
  for (const auto& model : families()) {
    testing::run_threads(1, [&](comm::Communicator& communicator) {
      const auto decoder = decoder_of(model, {3, 32}, communicator);
      const auto fresh = decoder_of(model, {1, 32}, communicator);
      const auto prompts = prompts_of(7);
      const auto completions = complete(*decoder, prompts, greedy());
      ASSERT_EQ(completions.size(), prompts.size());
      auto once = greedy();
      once.max_new_tokens = 1;
      for (const auto& prompt : prompts) {
        auto tokens = prompt.tokens;
        for (const auto token : completions.at(prompt.index)) {
          const Prompt so_far{.index = 0, .tokens = tokens};
          ASSERT_EQ(complete(*fresh, {&so_far, 1}, once).at(0), Ids{token}) << prompt.index;
          tokens.push_back(token);
        }
      }
    });
  }
}

TEST(GenerateTest, NeitherSlotsNorOtherPromptsChangeWhatAPromptBecomes) {
  testing::run_threads(1, [](comm::Communicator& communicator) {
    const auto prompts = prompts_of(11);
    for (const auto& model : {tiny(true), tiny_mamba(true)}) {
      for (const auto& settings : {greedy(), sampling()}) {
        std::map<std::int64_t, Ids> alone;
        const auto one = decoder_of(model, {1, 32}, communicator);
        for (const auto& prompt : prompts) alone.merge(complete(*one, {&prompt, 1}, settings));
        for (const std::int64_t slots : {1, 2, 4, 16}) {
          const auto decoder = decoder_of(model, {slots, 32}, communicator);
          EXPECT_EQ(complete(*decoder, prompts, settings), alone)
              << model.architecture() << " " << slots;
        }
      }
    }
  });
}

TEST(GenerateTest, WeightsGatheredFromShardsGiveTheSameTokens) {
  const auto prompts = prompts_of(5);
  for (const auto& model : {tiny(false), tiny_mamba(true)}) {
    std::map<std::int64_t, Ids> expected;
    testing::run_threads(1, [&](comm::Communicator& communicator) {
      expected = complete(*decoder_of(model, {2, 32}, communicator), prompts, sampling());
    });
    for (const int world : {2, 3}) {
      testing::run_threads(world, [&](comm::Communicator& communicator) {
        const auto decoder = decoder_of(model, {2, 32}, communicator);
        EXPECT_EQ(complete(*decoder, prompts, sampling()), expected) << model.architecture();
      });
    }
  }
}

TEST(GenerateTest, SixteenBitModelsGenerate) {
  testing::run_threads(1, [](comm::Communicator& communicator) {
    for (const auto& model : families()) {
      for (const auto compute : {DType::bf16, DType::f16}) {
        const auto decoder = decoder_of(model, {2, 32}, communicator, compute);
        const auto completions = complete(*decoder, prompts_of(3), greedy());
        EXPECT_EQ(completions.size(), 3U);
        for (const auto& [index, tokens] : completions) EXPECT_EQ(tokens.size(), 9U) << index;
      }
    }
  });
}

TEST(GenerateTest, AnEosEndsASequenceAndItsSlotTakesTheNextPrompt) {
  testing::run_threads(1, [](comm::Communicator& communicator) {
    const auto decoder = decoder_of(tiny(true), {2, 32}, communicator);
    const auto prompts = prompts_of(6);
    const auto free = complete(*decoder, prompts, greedy());
    auto settings = greedy();
    settings.eos = {free.at(0)[2]};
    std::map<std::int64_t, Finish> ends;
    generate(*decoder, prompts, settings, {.on_completion = [&](const Completion& c) {
      ends[c.index] = c.finish;
      const auto& all = free.at(c.index);
      const auto found = std::find(all.begin(), all.end(), settings.eos[0]);
      const bool has = found != all.end();
      EXPECT_EQ(c.finish, has ? Finish::eos : Finish::length);
      EXPECT_EQ(c.tokens, Ids(all.begin(), has ? found + 1 : all.end())) << c.index;
    }});
    EXPECT_EQ(ends.size(), prompts.size());
    EXPECT_EQ(ends.at(0), Finish::eos);
  });
}

TEST(GenerateTest, APromptWithoutRoomIsNamed) {
  testing::run_threads(1, [](comm::Communicator& communicator) {
    const auto decoder = decoder_of(tiny(true), {1, 32}, communicator);
    Settings settings;
    settings.max_length = 3;
    const Prompt prompt{.index = 4, .tokens = {1, 2, 3}};
    try {
      generate(*decoder, {&prompt, 1}, settings, {});
      FAIL();
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("prompt 4 has 3 tokens"), std::string::npos);
    }
  });
}

TEST(GenerateTest, LogitsThatAreNotFiniteStopTheRun) {
  testing::run_threads(1, [](comm::Communicator& communicator) {
    const auto config = tiny(true);
    const auto model = config.make();
    const zero::ParamSource broken = [](layout::ParamId, std::int64_t, std::span<float> values) {
      std::fill(values.begin(), values.end(), std::numeric_limits<float>::quiet_NaN());
    };
    auto weights = gather_weights(model, broken, DType::f32, {.communicator = &communicator});
    const auto decoder = make_decoder(config, model, std::move(weights), {1, 32});
    const Prompt prompt{.index = 0, .tokens = {1}};
    for (const auto& settings : {greedy(), sampling()}) {
      EXPECT_THROW(generate(*decoder, {&prompt, 1}, settings, {}), Error);
    }
  });
}

TEST(GenerateTest, CapacityCoversTheLongestPromptAndItsNewTokens) {
  const auto prompts = prompts_of(11);
  std::size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.tokens.size());
  const auto capacity = needed_capacity(prompts, greedy());
  EXPECT_EQ(capacity, static_cast<std::int64_t>(longest) + 8);
  testing::run_threads(1, [&](comm::Communicator& communicator) {
    const auto decoder = decoder_of(tiny(true), {4, capacity}, communicator);
    EXPECT_EQ(complete(*decoder, prompts, greedy()).size(), prompts.size());
  });
}

}  // namespace
}  // namespace zt::generate
