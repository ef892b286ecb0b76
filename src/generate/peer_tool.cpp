// Lets the Python peer tests drive the module. One line of JSON in, one line of JSON out.
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "checkpoint/huggingface.h"
#include "generate/family_decoder.h"
#include "generate/generate.h"
#include "generate/logits.h"
#include "testing/rank_launcher.h"

namespace zt::generate {
namespace {

using Json = nlohmann::json;

Settings settings_of(const Json& json) {
  Settings settings;
  read_generation_config(json.dump(), "settings", settings);
  settings.seed = json.value("seed", settings.seed);
  return settings;
}

/// Each line {settings, tokens, prompt, logits}: the logits after rules and, when do_sample, after
/// warpers; null where nothing is left of a token.
int process_lines() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto request = Json::parse(line);
    const auto settings = settings_of(request["settings"]);
    const auto tokens = request["tokens"].get<std::vector<std::int32_t>>();
    auto logits = request["logits"].get<std::vector<float>>();
    apply_rules(settings, {tokens, request["prompt"].get<std::int64_t>()}, logits);
    if (settings.do_sample) apply_warpers(settings, logits);
    Json answer = Json::array();
    for (const auto value : logits) answer.push_back(value == kNever ? Json() : Json(value));
    std::cout << answer.dump() << '\n';
  }
  return 0;
}

DType dtype_of(const std::string& name) {
  return name == "bf16" ? DType::bf16 : name == "fp16" ? DType::f16 : DType::f32;
}

/// One line {model, dtype, slots, world, settings, prompts: [[ids]]}: the new ids of each prompt.
int complete() {
  std::string line;
  std::getline(std::cin, line);
  const auto request = Json::parse(line);
  const auto settings = settings_of(request["settings"]);
  std::vector<Prompt> prompts;
  for (const auto& ids : request["prompts"]) {
    prompts.push_back({static_cast<std::int64_t>(prompts.size()), ids});
  }
  const std::string folder = request["model"];
  const auto config = model::read_model(folder);
  check_settings(settings, config.vocab());
  Json answer = Json::array();
  for (std::size_t i = 0; i < prompts.size(); ++i) answer.push_back(Json());
  const auto world = request.value("world", 1);
  testing::run_threads(world, [&](comm::Communicator& communicator) {
    const auto model = config.make();
    const checkpoint::HuggingFaceWeights weights(folder);
    const zero::ParamSource source = [&](layout::ParamId id, std::int64_t begin,
                                         std::span<float> values) {
      weights.read(model.params.at(static_cast<std::size_t>(id.value)), begin, values);
    };
    auto gathered = gather_weights(model, source, dtype_of(request.value("dtype", "fp32")),
                                   {.communicator = &communicator});
    const auto decoder =
        make_decoder(config, model, std::move(gathered),
                     {request.value("slots", 8), needed_capacity(prompts, settings)});
    std::vector<Prompt> mine;
    for (const auto& prompt : prompts) {
      if (prompt.index % world == communicator.rank()) mine.push_back(prompt);
    }
    generate(*decoder, mine, settings, {.on_completion = [&](const Completion& completion) {
      answer.at(static_cast<std::size_t>(completion.index)) = completion.tokens;
    }});
  });
  std::cout << answer.dump() << '\n';
  return 0;
}

}  // namespace
}  // namespace zt::generate

int main(int argc, char** argv) {
  try {
    const std::string command = argc > 1 ? argv[1] : "";
    if (command == "logits") return zt::generate::process_lines();
    if (command == "complete") return zt::generate::complete();
    std::cerr << "usage: generate_peer_tool logits|complete\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
