#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text_encoding.h"
#include "data/tokenizer_parts.h"

namespace zt::data {
namespace {

using Json = nlohmann::json;

[[noreturn]] void unsupported(const std::string& what, const std::string& got,
                              const std::string& expected) {
  throw ConfigError(fmt::format(
      "[data.tokenizer] unsupported {}: got {}, expected {}. Use a tokenizer of the Qwen, Llama-3, "
      "GPT-2 or GPT-NeoX kind.",
      what, got, expected));
}

Json parse(const std::string& text, const std::string& place) {
  if (const auto encoding = foreign_encoding(text); !encoding.empty()) {
    throw FileError(fmt::format(
        "[data.tokenizer] {}: the text is {}, expected UTF-8. Convert it: iconv -f {} -t UTF-8.",
        place, encoding, encoding));
  }
  return Json::parse(text);
}

/// Why a file is no tokenizer's.
struct Damaged {
  std::string reason;
};

std::int32_t token_id(const Json& id) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() > kMost) {
    throw Damaged{fmt::format("got {} as the id of a token, expected 0 to {}", id.dump(), kMost)};
  }
  return id.get<std::int32_t>();
}

std::string type_of(const Json& part) {
  if (part.is_null()) return "null";
  return part.is_object() ? part.value("type", std::string("without a type")) : part.dump();
}

bool flag(const Json& part, const char* key, bool absent) {
  const auto found = part.find(key);
  return found == part.end() || found->is_null() ? absent : found->get<bool>();
}

void read_normalizer(const Json& part, TokenizerFiles& files) {
  if (part.is_null()) return;
  const std::string type = type_of(part);
  if (type == "NFC") {
    files.nfc = true;
  } else if (type == "Sequence") {
    for (const Json& child : part.at("normalizers")) read_normalizer(child, files);
  } else {
    unsupported("normalizer", type, "NFC or none");
  }
}

/// Returns true when `part` ends in ByteLevel, which must come last.
bool read_pre_tokenizer(const Json& part, TokenizerFiles& files) {
  const std::string type = type_of(part);
  if (type == "Sequence") {
    bool bytes = false;
    for (const Json& child : part.at("pretokenizers")) {
      if (bytes)
        unsupported("pre-tokenizer", type_of(child) + " after ByteLevel", "ByteLevel last");
      bytes = read_pre_tokenizer(child, files);
    }
    return bytes;
  }
  if (type == "Split") {
    const Json& pattern = part.at("pattern");
    if (!pattern.contains("Regex")) unsupported("Split pattern", pattern.dump(), "a Regex");
    if (part.at("behavior") != "Isolated") {
      unsupported("Split behavior", part.at("behavior").dump(), "Isolated");
    }
    if (flag(part, "invert", false)) unsupported("Split", "invert true", "invert false");
    files.splits.push_back(split_rule_of(pattern.at("Regex").get<std::string>()));
    return false;
  }
  if (type != "ByteLevel")
    unsupported("pre-tokenizer", type, "Split, ByteLevel or a Sequence of them");
  if (flag(part, "add_prefix_space", true)) {
    unsupported("ByteLevel", "add_prefix_space true", "add_prefix_space false");
  }
  if (flag(part, "use_regex", true)) files.splits.push_back(SplitRule::gpt2);
  return true;
}

void read_template(const Json& part, TokenizerFiles& files) {
  bool after_sequence = false;
  for (const Json& item : part.at("single")) {
    if (item.contains("Sequence")) {
      after_sequence = true;
      continue;
    }
    const std::string name = item.at("SpecialToken").at("id").get<std::string>();
    for (const Json& id : part.at("special_tokens").at(name).at("ids")) {
      (after_sequence ? files.suffix : files.prefix).push_back(token_id(id));
    }
    files.template_tokens.push_back(name);
  }
}

void read_post_processor(const Json& part, TokenizerFiles& files) {
  if (part.is_null()) return;
  const std::string type = type_of(part);
  if (type == "ByteLevel") return;  // moves offsets only
  if (type == "Sequence") {
    for (const Json& child : part.at("processors")) read_post_processor(child, files);
  } else if (type == "TemplateProcessing") {
    if (!files.template_tokens.empty()) unsupported("post-processor", "two templates", "one");
    read_template(part, files);
  } else {
    unsupported("post-processor", type, "ByteLevel, TemplateProcessing or a Sequence of them");
  }
}

void check_decoder(const Json& part) {
  if (type_of(part) == "ByteLevel") return;
  if (type_of(part) == "Sequence" && part.at("decoders").size() == 1) {
    return check_decoder(part.at("decoders")[0]);
  }
  unsupported("decoder", type_of(part), "ByteLevel");
}

AddedToken read_added(const Json& item, std::int32_t id) {
  AddedToken token;
  token.id = id;
  token.content = item.at("content").get<std::string>();
  token.single_word = flag(item, "single_word", false);
  token.lstrip = flag(item, "lstrip", false);
  token.rstrip = flag(item, "rstrip", false);
  token.special = flag(item, "special", false);
  token.normalized = flag(item, "normalized", !token.special);
  return token;
}

std::pair<std::string, std::string> read_merge(const Json& item) {
  if (item.is_array() && item.size() == 2) {
    return {item[0].get<std::string>(), item[1].get<std::string>()};
  }
  const std::string text = item.get<std::string>();
  const std::size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
    throw FileError(fmt::format(
        "[data.tokenizer] a merge is damaged: got `{}`, expected two tokens with one space between "
        "them. Copy tokenizer.json again.",
        text));
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

void refuse_filled(const Json& model, const char* key) {
  const auto found = model.find(key);
  if (found == model.end() || found->is_null() || *found == "" || *found == false) return;
  unsupported(std::string("BPE option ") + key, found->dump(), "none");
}

void read_model(const Json& part, TokenizerFiles& files) {
  const std::string type = part.value("type", std::string("BPE"));
  if (type != "BPE") unsupported("model", type, "BPE");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"}) {
    refuse_filled(part, key);
  }
  if (const auto found = part.find("dropout");
      found != part.end() && found->is_number() && found->get<double>() != 0.0) {
    unsupported("BPE option dropout", found->dump(), "none");
  }
  BpeParts& model = files.model;
  const Json::object_t& vocab = part.at("vocab").get_ref<const Json::object_t&>();
  model.vocab.reserve(vocab.size());
  for (const auto& [token, id] : vocab) model.vocab.emplace(token, token_id(id));
  for (const Json& item : part.at("merges")) model.merges.push_back(read_merge(item));
  if (const auto found = part.find("unk_token"); found != part.end() && found->is_string()) {
    model.unk_token = found->get<std::string>();
  }
  model.fuse_unk = flag(part, "fuse_unk", false);
  model.ignore_merges = flag(part, "ignore_merges", false);
}

/// Runs `read` and turns what the JSON library throws into a FileError naming the file.
template <typename Read>
void guarded(const std::string& place, Read&& read) {
  std::string reason;
  try {
    return read();
  } catch (const Json::exception& error) {
    reason = error.what();  // begins with the library's own `[json.exception...] `
    reason.erase(0, reason.find("] ") == std::string::npos ? 0 : reason.find("] ") + 2);
  } catch (const Damaged& damaged) {
    reason = damaged.reason;
  }
  throw FileError(fmt::format(
      "[data.tokenizer] {} is damaged or not a tokenizer file: {}. Copy the file again.", place,
      reason));
}

/// A token as text, or as an object with `content`; nothing for null.
std::optional<std::string> token_text(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (found->is_object()) return found->at("content").get<std::string>();
  return found->get<std::string>();
}

}  // namespace

TokenizerFiles read_tokenizer_json(const std::string& text, const std::string& place) {
  TokenizerFiles files;
  if (text.starts_with("version https://git-lfs")) {
    throw FileError(fmt::format(
        "[data.tokenizer] {}: got a Git LFS pointer, expected the tokenizer. Fetch it: git lfs "
        "pull.",
        place));
  }
  guarded(place, [&] {
    const Json json = parse(text, place);
    const auto part = [&](const char* key) { return json.contains(key) ? json.at(key) : Json(); };
    read_model(json.at("model"), files);
    read_normalizer(part("normalizer"), files);
    if (!read_pre_tokenizer(part("pre_tokenizer"), files)) {
      unsupported("pre-tokenizer", "no ByteLevel", "a byte-level tokenizer");
    }
    read_post_processor(part("post_processor"), files);
    check_decoder(part("decoder"));
    for (const Json& item : part("added_tokens")) {
      files.added.push_back(read_added(item, token_id(item.at("id"))));
    }
  });
  return files;
}

void read_tokenizer_config(const std::string& text, const std::string& place,
                           TokenizerFiles& files) {
  guarded(place, [&] {
    const Json config = parse(text, place);
    files.eos_token = token_text(config, "eos_token");
    files.pad_token = token_text(config, "pad_token");
    constexpr double kPlaceholder = 1e18;  // "no limit" is written as 1e30
    if (const auto found = config.find("model_max_length");
        found != config.end() && found->is_number() && found->get<double>() >= 0 &&
        found->get<double>() < kPlaceholder) {
      files.model_max_length = found->get<std::int64_t>();
    }
    if (!config.contains("added_tokens_decoder")) return;
    std::vector<AddedToken> extra;
    for (const auto& [key, item] : config.at("added_tokens_decoder").items()) {
      if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != key.npos) {
        throw FileError(
            fmt::format("[data.tokenizer] added_tokens_decoder of {} is damaged: got "
                        "key `{}`, expected a token id. Copy the file again.",
                        place, key));
      }
      AddedToken token = read_added(item, static_cast<std::int32_t>(std::stol(key)));
      const auto known =
          std::find_if(files.added.begin(), files.added.end(),
                       [&](const AddedToken& t) { return t.content == token.content; });
      if (known == files.added.end()) {
        extra.push_back(token);
      } else {  // transformers keeps the id of tokenizer.json and takes the flags from here
        token.id = known->id;
        *known = token;
      }
    }
    std::sort(extra.begin(), extra.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    files.added.insert(files.added.end(), extra.begin(), extra.end());
  });
}

}  // namespace zt::data
