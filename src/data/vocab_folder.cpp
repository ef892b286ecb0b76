#include "data/vocab_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "base/error.h"

namespace zt::data {
namespace {

using Json = nlohmann::json;

constexpr const char* kEndOfText = "<|endoftext|>";

Json parsed(const std::string& text, const std::string& place) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) {
    throw FileError(fmt::format(
        "[data.tokenizer] {} is damaged: got no JSON object, expected one. Copy the file again.",
        place));
  }
  return json;
}

[[noreturn]] void refuse(const std::string& place, const std::string& what,
                         const std::string& expected) {
  throw ConfigError(
      fmt::format("[data.tokenizer] {}: got {}, expected {}. Save the tokenizer as tokenizer.json "
                  "(transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)).",
                  place, what, expected));
}

/// Whether the folder's class is GPT-NeoX's (true) or GPT-2's.
bool is_neox(const Json& config, const std::string& place) {
  std::string name = config.value("tokenizer_class", std::string("GPT2Tokenizer"));
  constexpr std::string_view kFast = "Fast";
  if (name.ends_with(kFast)) name.resize(name.size() - kFast.size());
  if (name != "GPT2Tokenizer" && name != "GPTNeoXTokenizer") {
    refuse(place + "/tokenizer_config.json", "tokenizer_class " + name + " without tokenizer.json",
           "GPT2Tokenizer or GPTNeoXTokenizer");
  }
  return name == "GPTNeoXTokenizer";
}

/// The pairs of merges.txt, one a line; its first line may name the version.
Json read_merges(const std::string& text, const std::string& place) {
  Json merges = Json::array();
  std::istringstream lines(text);
  bool first = true;
  for (std::string line; std::getline(lines, line); first = false) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || (first && line.starts_with("#version"))) continue;
    const auto space = line.find(' ');
    if (space == 0 || space == line.npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != line.npos) {
      throw FileError(
          fmt::format("[data.tokenizer] {} is damaged: got line `{}`, expected two tokens with one "
                      "space between them. Copy the file again.",
                      place, line));
    }
    merges.push_back({line.substr(0, space), line.substr(space + 1)});
  }
  return merges;
}

/// The special tokens: those of the configuration, else the class's defaults, each once; a token
/// outside the vocabulary is numbered after it, in the order of transformers.
Json special_tokens(const Json& config, const Json& vocab, bool neox) {
  Json added = Json::array();
  std::vector<std::string> seen;
  std::int64_t next = static_cast<std::int64_t>(vocab.size());
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    const bool pad = std::string_view(key) == "pad_token";
    std::string token = pad ? (neox ? "<|padding|>" : "") : kEndOfText;
    if (const auto found = config.find(key); found != config.end()) {
      token = found->is_object()   ? found->value("content", std::string())
              : found->is_string() ? found->get<std::string>()
                                   : std::string();
    }
    if (token.empty() || std::find(seen.begin(), seen.end(), token) != seen.end()) continue;
    seen.push_back(token);
    const auto known = vocab.find(token);
    const std::int64_t id =
        known != vocab.end() && known->is_number_integer() ? known->get<std::int64_t>() : next++;
    added.push_back({{"id", id}, {"content", token}, {"special", true}, {"normalized", false}});
  }
  return added;
}

}  // namespace

std::string tokenizer_json_of(const std::string& vocab, const std::string& merges,
                              const std::string& config, const std::string& place) {
  const Json tokens = parsed(vocab, place + "/vocab.json");
  const Json options =
      config.empty() ? Json::object() : parsed(config, place + "/tokenizer_config.json");
  const bool neox = is_neox(options, place);
  for (const char* key : {"add_bos_token", "add_eos_token"}) {
    if (options.contains(key) && options.at(key) == true) {
      refuse(place + "/tokenizer_config.json", std::string(key) + " true", "false");
    }
  }
  if (options.contains("added_tokens_decoder") && !options.at("added_tokens_decoder").empty()) {
    for (const auto& [id, token] : options.at("added_tokens_decoder").items()) {
      if (!tokens.contains(token.value("content", std::string()))) {
        refuse(place, "added token " + id + " outside of vocab.json", "only tokens of vocab.json");
      }
    }
  }
  const bool prefix =
      options.contains("add_prefix_space") && options.at("add_prefix_space") == true;
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"use_regex", true}};
  const Json result = {
      {"added_tokens", special_tokens(options, tokens, neox)},
      {"normalizer", neox ? Json{{"type", "NFC"}} : Json()},
      {"pre_tokenizer", bytes},
      {"post_processor", Json()},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model",
       {{"type", "BPE"},
        {"vocab", tokens},
        {"merges", read_merges(merges, place + "/merges.txt")}}},
  };
  return result.dump();
}

}  // namespace zt::data
