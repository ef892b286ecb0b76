#include "generate/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"

namespace zt::generate {
namespace {

using nlohmann::json;

/// Collects what is wrong with the keys of one file.
class Reader {
 public:
  Reader(const json& root, const std::string& place) : root_(root), place_(place) {}

  void count(const char* key, std::int64_t& to) {
    const auto* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number_integer() || value->get<std::int64_t>() < 0) {
      return problem(key, *value, "an integer from 0");
    }
    to = value->get<std::int64_t>();
  }
  void number(const char* key, double& to) {
    const auto* value = find(key);
    if (value == nullptr) return;
    if (!value->is_number()) return problem(key, *value, "a number");
    to = value->get<double>();
  }
  void boolean(const char* key, bool& to) {
    const auto* value = find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return problem(key, *value, "true or false");
    to = value->get<bool>();
  }
  /// One id or a list of ids.
  void ids(const char* key, std::vector<std::int32_t>& to) {
    const auto* value = find(key);
    if (value == nullptr) return;
    const auto list = value->is_array() ? *value : json::array({*value});
    std::vector<std::int32_t> found;
    for (const auto& id : list) {
      if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
          id.get<std::int64_t>() > INT32_MAX) {
        return problem(key, *value, "a token id, or a list of them");
      }
      found.push_back(id.get<std::int32_t>());
    }
    to = found;
  }
  /// A key whose only accepted values are those that change nothing.
  void neutral(const char* key, const std::vector<json>& accepted) {
    const auto* value = find(key);
    if (value == nullptr) return;
    for (const auto& plain : accepted) {
      if (*value == plain) return;
    }
    problems_ += fmt::format("[generate.config] {}: {}: {} is not built: got {}. Remove the key.\n",
                             place_, key, key, value->dump());
  }
  void finish() const {
    if (!problems_.empty()) throw ConfigError(problems_.substr(0, problems_.size() - 1));
  }

 private:
  const json* find(const char* key) const {
    const auto found = root_.find(key);
    return found == root_.end() || found->is_null() ? nullptr : &*found;
  }
  void problem(const char* key, const json& got, const char* expected) {
    problems_ += fmt::format("[generate.config] {}: {}: got {}, expected {}. Correct the file.\n",
                             place_, key, got.dump(), expected);
  }

  const json& root_;
  const std::string& place_;
  std::string problems_;
};

json parse(const std::string& text, const std::string& place) {
  auto root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded() || !root.is_object()) {
    throw FileError(
        fmt::format("[generate.config] {} is not a JSON object. Restore the file.", place));
  }
  return root;
}

/// Keys that ask for another way of generating, with the values that do not.
void refuse_unbuilt(Reader& reader) {
  reader.neutral("num_beams", {1});
  reader.neutral("num_beam_groups", {1});
  reader.neutral("num_return_sequences", {1});
  reader.neutral("penalty_alpha", {0});
  reader.neutral("diversity_penalty", {0});
  reader.neutral("guidance_scale", {1});
  reader.neutral("typical_p", {1});
  reader.neutral("epsilon_cutoff", {0});
  reader.neutral("eta_cutoff", {0});
  reader.neutral("encoder_repetition_penalty", {1});
  reader.neutral("encoder_no_repeat_ngram_size", {0});
  reader.neutral("use_mtp", {false});
  reader.neutral("token_healing", {false});
  reader.neutral("is_assistant", {false});
  constexpr std::array kAbsent = {"top_h",
                                  "max_time",
                                  "stop_strings",
                                  "bad_words_ids",
                                  "sequence_bias",
                                  "constraints",
                                  "force_words_ids",
                                  "forced_bos_token_id",
                                  "forced_eos_token_id",
                                  "exponential_decay_length_penalty",
                                  "prompt_lookup_num_tokens",
                                  "watermarking_config",
                                  "dola_layers"};
  for (const char* key : kAbsent) reader.neutral(key, {json::array(), json::object()});
}

std::string joined(const std::vector<std::string>& problems) {
  std::string text;
  for (const auto& problem : problems) text += (text.empty() ? "" : "\n") + problem;
  return text;
}

}  // namespace

std::int64_t Settings::new_tokens(std::int64_t prompt) const {
  return max_new_tokens > 0 ? max_new_tokens : max_length - prompt;
}

bool Settings::plain_greedy() const {
  return !do_sample && repetition_penalty == 1.0 && no_repeat_ngram_size == 0 &&
         min_new_tokens == 0 && min_length == 0 && suppress_tokens.empty() &&
         begin_suppress_tokens.empty();
}

void read_generation_config(const std::string& text, const std::string& place, Settings& settings) {
  const auto root = parse(text, place);
  Reader reader(root, place);
  reader.count("max_new_tokens", settings.max_new_tokens);
  reader.count("max_length", settings.max_length);
  reader.count("min_new_tokens", settings.min_new_tokens);
  reader.count("min_length", settings.min_length);
  reader.boolean("do_sample", settings.do_sample);
  reader.number("temperature", settings.temperature);
  reader.count("top_k", settings.top_k);
  reader.number("top_p", settings.top_p);
  reader.number("min_p", settings.min_p);
  reader.number("repetition_penalty", settings.repetition_penalty);
  reader.count("no_repeat_ngram_size", settings.no_repeat_ngram_size);
  reader.ids("suppress_tokens", settings.suppress_tokens);
  reader.ids("begin_suppress_tokens", settings.begin_suppress_tokens);
  reader.ids("eos_token_id", settings.eos);
  refuse_unbuilt(reader);
  reader.finish();
}

std::vector<std::int32_t> read_eos(const std::string& text, const std::string& place) {
  const auto root = parse(text, place);
  Reader reader(root, place);
  std::vector<std::int32_t> eos;
  reader.ids("eos_token_id", eos);
  reader.finish();
  return eos;
}

void check_settings(const Settings& settings, std::int64_t vocab) {
  std::vector<std::string> problems;
  const auto require = [&](bool good, const char* key, const std::string& got,
                           const char* expected) {
    if (good) return;
    problems.push_back(
        fmt::format("[generate.settings] {}: got {}, expected {}.", key, got, expected));
  };
  const auto number = [](double value) { return fmt::format("{}", value); };
  const auto& s = settings;
  require(s.max_new_tokens > 0 || s.max_length > 0, "max_new_tokens",
          std::to_string(s.max_new_tokens), "a positive number, or max_length");
  require(std::isfinite(s.temperature) && s.temperature > 0, "temperature", number(s.temperature),
          "a positive number; for the most probable token set do_sample false");
  require(s.top_p > 0 && s.top_p <= 1, "top_p", number(s.top_p), "a number above 0, at most 1");
  require(s.min_p >= 0 && s.min_p <= 1, "min_p", number(s.min_p), "a number from 0 to 1");
  require(std::isfinite(s.repetition_penalty) && s.repetition_penalty > 0, "repetition_penalty",
          number(s.repetition_penalty), "a positive number");
  const auto require_ids = [&](const char* key, const std::vector<std::int32_t>& ids) {
    for (const auto id : ids) {
      require(id >= 0 && id < vocab, key, std::to_string(id), "an id of the model's vocabulary");
    }
  };
  require_ids("eos_token_id", s.eos);
  require_ids("suppress_tokens", s.suppress_tokens);
  require_ids("begin_suppress_tokens", s.begin_suppress_tokens);
  if (!problems.empty()) throw ConfigError(joined(problems));
}

}  // namespace zt::generate
