#include "data/tokenizer.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "data/normalizer.h"
#include "data/tokenizer_parts.h"
#include "data/utf8.h"
#include "data/vocab_folder.h"

namespace zt::data {
namespace {

constexpr std::int32_t kLargestId = 1 << 26;  // a damaged id must not become an allocation

std::string read_whole(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.good() && !in.eof()) {
    throw FileError(fmt::format("[data.tokenizer] cannot read {}. Check the path and permissions.",
                                path.string()));
  }
  return text;
}

void check_id(std::int32_t id, const std::string& token, const std::string& place) {
  if (id >= 0 && id < kLargestId) return;
  throw FileError(fmt::format(
      "[data.tokenizer] token `{}` of {} has a bad id: got {}, expected 0 to {}. Copy the file "
      "again.",
      token, place, id, kLargestId - 1));
}

/// The id the reference implementation would give an added token; the file must agree with it.
void check_added_ids(const TokenizerFiles& files, const std::string& place) {
  const auto base = static_cast<std::int32_t>(files.model.vocab.size());
  std::int32_t next = base;
  std::unordered_map<std::string, std::int32_t> seen;
  for (const AddedToken& token : files.added) {
    if (token.content.empty()) {
      throw FileError(
          fmt::format("[data.tokenizer] {} has an added token without text (id {}). "
                      "Remove it from the file.",
                      place, token.id));
    }
    const auto in_vocab = files.model.vocab.find(token.content);
    const auto again = seen.find(token.content);
    std::int32_t expected = next;
    if (again != seen.end()) {
      expected = again->second;
    } else if (in_vocab != files.model.vocab.end()) {
      expected = in_vocab->second;
    }
    if (token.id != expected) {
      throw ConfigError(
          fmt::format("[data.tokenizer] added token `{}` of {} has id {}, but the tokenizers "
                      "package numbers it "
                      "{}. Correct the id in the file.",
                      token.content, place, token.id, expected));
    }
    seen.emplace(token.content, token.id);
    next = std::max(next, token.id + 1);
  }
}

void add_token(TokenizerParts& parts, const std::string& token, std::int32_t id,
               const std::string& place) {
  check_id(id, token, place);
  const auto index = static_cast<std::size_t>(id);
  if (index >= parts.bytes_of.size()) {
    parts.bytes_of.resize(index + 1);
    parts.known.resize(index + 1, false);
  }
  parts.bytes_of[index] = byte_level_bytes(token).value_or(token);
  parts.known[index] = true;
  parts.ids[token] = id;
}

std::optional<std::int32_t> named_id(const TokenizerParts& parts, const char* what,
                                     const std::optional<std::string>& token,
                                     const std::string& place) {
  if (!token) return std::nullopt;
  const auto found = parts.ids.find(*token);
  if (found == parts.ids.end()) {
    throw ConfigError(fmt::format(
        "[data.tokenizer] {} of {} is not a token: got `{}`. Name a token of tokenizer.json.", what,
        place, *token));
  }
  return found->second;
}

std::unique_ptr<TokenizerParts> assemble(TokenizerFiles files, const std::string& place) {
  for (const auto& [token, id] : files.model.vocab) check_id(id, token, place);
  auto parts = std::make_unique<TokenizerParts>(TokenizerParts{.model = Bpe(files.model)});
  for (const auto& [token, id] : files.model.vocab) add_token(*parts, token, id, place);
  check_added_ids(files, place);
  std::unordered_set<std::string> seen;
  for (const AddedToken& token : files.added) {
    if (!seen.insert(token.content).second) continue;
    add_token(*parts, token.content, token.id, place);
    if (token.special) parts->special.insert(token.id);
    std::string storage;
    if (!token.normalized) {
      parts->raw_matcher.add(token, token.content);
    } else if (files.nfc) {
      parts->normalized_matcher.add(token, std::string(normalize_nfc(token.content, storage)));
    } else {
      parts->normalized_matcher.add(token, token.content);
    }
  }
  parts->nfc = files.nfc;
  parts->splits = std::move(files.splits);
  for (const std::string& token : files.template_tokens) named_id(*parts, "template", token, place);
  parts->prefix = std::move(files.prefix);
  parts->suffix = std::move(files.suffix);
  parts->eos_id = named_id(*parts, "eos_token", files.eos_token, place);
  parts->pad_id = named_id(*parts, "pad_token", files.pad_token, place);
  parts->model_max_length = files.model_max_length;
  return parts;
}

/// Cuts `text` by the rules from `level` on, one inside the other, and encodes the pieces.
void encode_pieces(const TokenizerParts& parts, std::string_view text, std::size_t level,
                   EncodeScratch& scratch, std::vector<std::int32_t>& ids) {
  if (level == parts.splits.size()) {
    parts.model.encode(text, scratch.bpe, ids);
    return;
  }
  for (std::size_t pos = 0; pos < text.size();) {
    const std::size_t end = next_piece(parts.splits[level], text, pos);
    encode_pieces(parts, text.substr(pos, end - pos), level + 1, scratch, ids);
    pos = end;
  }
}

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& directory) {
  const auto json = directory / "tokenizer.json";
  const auto config = directory / "tokenizer_config.json";
  const auto vocab = directory / "vocab.json";
  const auto merges = directory / "merges.txt";
  const std::string config_text =
      std::filesystem::is_regular_file(config) ? read_whole(config) : std::string();
  if (std::filesystem::is_regular_file(json)) {
    return parse(read_whole(json), config_text, directory.string());
  }
  if (!std::filesystem::is_regular_file(vocab) || !std::filesystem::is_regular_file(merges)) {
    throw FileError(
        fmt::format("[data.tokenizer] no tokenizer: {} does not exist, nor vocab.json with "
                    "merges.txt beside it. Name a folder with a tokenizer.json.",
                    json.string()));
  }
  return parse(
      tokenizer_json_of(read_whole(vocab), read_whole(merges), config_text, directory.string()),
      config_text, directory.string());
}

Tokenizer Tokenizer::parse(const std::string& tokenizer_json, const std::string& config_json,
                           const std::string& place) {
  TokenizerFiles files = read_tokenizer_json(tokenizer_json, place + "/tokenizer.json");
  if (!config_json.empty()) {
    read_tokenizer_config(config_json, place + "/tokenizer_config.json", files);
  }
  auto parts = assemble(std::move(files), place);
  const std::uint64_t seed = XXH3_64bits(config_json.data(), config_json.size());
  parts->content_hash = XXH3_64bits_withSeed(tokenizer_json.data(), tokenizer_json.size(), seed);
  return Tokenizer(std::move(parts));
}

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

void Tokenizer::encode(std::string_view text, bool add_special_tokens, EncodeScratch& scratch,
                       std::vector<std::int32_t>& ids) const {
  require_utf8(text, "text to encode");
  const TokenizerParts& parts = *parts_;
  if (add_special_tokens) ids.insert(ids.end(), parts.prefix.begin(), parts.prefix.end());
  parts.raw_matcher.split(text, [&](AddedSplit raw) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      return;
    }
    const std::string_view piece =
        parts.nfc ? normalize_nfc(raw.text, scratch.normalized) : raw.text;
    parts.normalized_matcher.split(piece, [&](AddedSplit split) {
      if (split.id >= 0) {
        ids.push_back(split.id);
      } else {
        encode_pieces(parts, split.text, 0, scratch, ids);
      }
    });
  });
  if (add_special_tokens) ids.insert(ids.end(), parts.suffix.begin(), parts.suffix.end());
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  EncodeScratch scratch;
  std::vector<std::int32_t> ids;
  encode(text, add_special_tokens, scratch, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (const std::int32_t id : ids) {
    const auto index = static_cast<std::size_t>(id);
    if (id < 0 || index >= parts_->known.size() || !parts_->known[index]) continue;
    if (skip_special_tokens && parts_->special.contains(id)) continue;
    bytes += parts_->bytes_of[index];
  }
  return replace_invalid_utf8(bytes);
}

std::int32_t Tokenizer::vocab_size() const {
  return static_cast<std::int32_t>(parts_->known.size());
}

std::optional<std::int32_t> Tokenizer::id_of(const std::string& token) const {
  const auto found = parts_->ids.find(token);
  return found == parts_->ids.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::int32_t> Tokenizer::eos_id() const { return parts_->eos_id; }
std::optional<std::int32_t> Tokenizer::pad_id() const { return parts_->pad_id; }
std::optional<std::int64_t> Tokenizer::model_max_length() const { return parts_->model_max_length; }
std::uint64_t Tokenizer::content_hash() const { return parts_->content_hash; }

}  // namespace zt::data
