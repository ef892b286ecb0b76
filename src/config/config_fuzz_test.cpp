#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "config/config_test_files.h"
#include "config/json_reader.h"
#include "config/yaml_reader.h"

namespace zt::config {
namespace {

const char* const kSeeds[] = {
    "{\"train_batch_size\": 16, \"train_micro_batch_size_per_gpu\": 4, \"bf16\": {\"enabled\": "
    "true},\n"
    " \"optimizer\": {\"type\": \"AdamW\", \"params\": {\"lr\": 1e-4, \"betas\": [0.9, 0.95]}},\n"
    " \"scheduler\": {\"type\": \"WarmupDecayLR\", \"params\": {\"total_num_steps\": 100}}}",
    "{ # a comment\n zero_optimization: {stage: 3, offload_param: {device: cpu}, // c\n"
    "  reduce_bucket_size: auto, stage3_max_live_parameters: 1e9,},\n gradient_clipping: auto,\n"
    "  train_batch_size: 'auto', /* x */ nvme: '''a''' }",
    "{\"fp16\": {\"enabled\": \"auto\", \"loss_scale\": 0}, \"activation_checkpointing\": {},\n"
    " \"compression_training\": {\"a\": {\"enabled\": false}}, \"data_types\": {},\n"
    " \"train_micro_batch_size_per_gpu\": \"8\", \"tensor_parallel\": {\"tp\": {\"tp_size\": 1}}}"};

const char* const kTokens[] = {"{",        "}",       "[",       "]",    ":",
                               ",",        "\"",      "'''",     "auto", "null",
                               "NaN",      "1e999",   "-1",      "true", "\\u",
                               "/*",       "//",      "#",       "\n",   "0.5",
                               "stage",    "\\",      "[[[[[",   "{a:",  "99999999999999999999",
                               "\xff\xfe", "enabled", "\"a\":1,"};

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}
  std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }

  std::string mutated(std::string text) {
    for (std::size_t edits = 1 + below(6); edits > 0; --edits) {
      const std::size_t at = below(text.size() + 1);
      switch (below(5)) {
        case 0:
          text.insert(at, kTokens[below(std::size(kTokens))]);
          break;
        case 1:
          text.erase(at, 1 + below(12));
          break;
        case 2:
          if (at < text.size()) text[at] = static_cast<char>(below(256));
          break;
        case 3:
          text.insert(below(text.size() + 1), text.substr(at, below(40)));
          break;
        default:
          text = text.substr(0, at) + kSeeds[below(std::size(kSeeds))] + text.substr(at);
      }
      if (text.size() > 4000) text.resize(4000);
    }
    return text;
  }

 private:
  std::mt19937 random_;
};

/// Runs `step` with fresh mutations, 300 times and until 0.7 s have passed; every error it lets out
/// must be a ConfigError.
template <typename Step>
void fuzz(unsigned seed, const Step& step) {
  Mutator mutator(seed);
  int accepted = 0;
  int refused = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
  while (accepted + refused < 300 || std::chrono::steady_clock::now() < end) {
    try {
      step(mutator);
      ++accepted;
    } catch (const ConfigError& error) {
      ++refused;
      ASSERT_NE(std::string(error.what()).find("[config."), std::string::npos);
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(ConfigFuzzTest, TheJsonReaderOnlyThrowsConfigErrors) {
  fuzz(1, [](Mutator& mutator) {
    (void)read_json(mutator.mutated(kSeeds[mutator.below(std::size(kSeeds))]), "fuzz.json");
  });
}

TEST(ConfigFuzzTest, TheDeepSpeedReaderOnlyThrowsConfigErrors) {
  fuzz(2, [](Mutator& mutator) {
    const std::string text = mutator.mutated(kSeeds[mutator.below(std::size(kSeeds))]);
    const Facts facts{.world_size = static_cast<std::int64_t>(1 + mutator.below(4)),
                      .hidden_size = static_cast<std::int64_t>(mutator.below(5000))};
    (void)describe(from_deepspeed("{" + text.substr(text.empty() ? 0 : 1), facts));
  });
}

TEST(ConfigFuzzTest, TheFlagParserOnlyThrowsConfigErrors) {
  const TestFiles files;
  const std::vector<std::string> words = {
      "--block_size", "--packing",      "512",          "True",  "--deepspeed", "{stage: 1}",
      "--report_to",  "none",           "--no-",        "--",    "-",           "=",
      "--x=1",        "--coalesce",     "--gpu_memory", "1e9GB", "--seed",      "",
      "--eval_steps", "--warmup_ratio", "0.1"};
  fuzz(3, [&](Mutator& mutator) {
    std::vector<std::string> args = files.args();
    for (std::size_t count = mutator.below(8); count > 0; --count) {
      std::string word = words[mutator.below(words.size())];
      if (mutator.below(4) == 0) word = mutator.mutated(word);
      args.push_back(word);
    }
    (void)describe(resolve(args));
  });
}

const char* const kYaml[] = {
    "model: {name_or_path: m}\ntraining:\n  lr: 1e-4\n  <<: &a {bf16: yes}\n  report_to: [csv]\n"
    "deepspeed:\n  enabled: true\n  zero_stage: 3\n  fp16: {enabled: auto}\npredict: {top_p: "
    "0.9}\n",
    "compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\nfsdp_config:\n"
    "  fsdp_sharding_strategy: FULL_SHARD\n  fsdp_offload_params: true\nmixed_precision: bf16\n",
    "a: &a [1, ~, 'x', \"y\"]\nb: *a\nc: |\n  text ${HOME}\n? k\n: !!str v\nd: ${X:-1}\n"};

TEST(ConfigFuzzTest, TheYamlReaderOnlyThrowsConfigErrors) {
  fuzz(4, [](Mutator& mutator) {
    (void)read_yaml(mutator.mutated(kYaml[mutator.below(std::size(kYaml))]), "fuzz.yaml");
  });
}

TEST(ConfigFuzzTest, TheFileReadersOnlyThrowConfigErrors) {
  const TestFiles files;
  fuzz(5, [&](Mutator& mutator) {
    const std::string text = mutator.mutated(kYaml[mutator.below(std::size(kYaml))]);
    Facts facts;
    facts.reads_data = facts.reads_model = false;
    (void)describe(resolve({"--config", files.write("fuzz.yaml", text)}, facts));
  });
}

}  // namespace
}  // namespace zt::config
