#include "train/generation_settings.h"

#include <filesystem>

#include "train/results.h"

namespace zt::train {
namespace {

bool is_set(const config::Config& config, const char* field) {
  const auto found = config.origins.find(field);
  return found != config.origins.end() && found->second.place != "default";
}

}  // namespace

generate::Settings generation_settings(const config::Config& config,
                                       const data::Tokenizer& tokenizer, std::int64_t vocab) {
  const auto& folder = config.model.model_name_or_path;
  const auto& predict = config.predict;
  generate::Settings settings;
  const auto file = folder + "/generation_config.json";
  if (std::filesystem::exists(file)) {
    generate::read_generation_config(read_text_file(file), file, settings);
  }
  const auto model = folder + "/config.json";
  if (settings.eos.empty() && std::filesystem::exists(model)) {
    settings.eos = generate::read_eos(read_text_file(model), model);
  }
  if (settings.eos.empty() && tokenizer.eos_id()) settings.eos = {*tokenizer.eos_id()};
  const bool has_length = settings.max_new_tokens > 0 || settings.max_length > 0;
  if (is_set(config, "predict.max_new_tokens") || !has_length) {
    settings.max_new_tokens = predict.max_new_tokens;
  }
  if (is_set(config, "predict.do_sample")) settings.do_sample = predict.do_sample;
  if (is_set(config, "predict.temperature")) settings.temperature = predict.temperature;
  if (is_set(config, "predict.top_k")) settings.top_k = predict.top_k;
  if (is_set(config, "predict.top_p")) settings.top_p = predict.top_p;
  settings.seed = predict.seed;
  generate::check_settings(settings, vocab);
  return settings;
}

std::vector<std::string> ignored_settings(const config::Config& config,
                                          const generate::Settings& settings) {
  std::vector<std::string> lines;
  if (settings.do_sample || is_set(config, "predict.do_sample")) return lines;
  for (const char* field : {"predict.temperature", "predict.top_k", "predict.top_p"}) {
    if (!is_set(config, field)) continue;
    const auto& origin = config.origins.at(field);
    lines.push_back(origin.key + ": no effect without do_sample (" + origin.place + ")");
  }
  return lines;
}

}  // namespace zt::train
