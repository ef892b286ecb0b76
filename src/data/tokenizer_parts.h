#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "data/added_tokens.h"
#include "data/bpe.h"
#include "data/pretokenizer.h"

namespace zt::data {

/// What the two tokenizer files say, as read by `read_tokenizer_json` and `read_tokenizer_config`.
struct TokenizerFiles {
  BpeParts model;
  std::vector<AddedToken> added;
  bool nfc = false;
  std::vector<SplitRule> splits;             ///< applied one inside the other
  std::vector<std::int32_t> prefix, suffix;  ///< ids of the template around one sequence
  std::vector<std::string> template_tokens;  ///< their texts, for errors
  std::optional<std::string> eos_token, pad_token;
  std::optional<std::int64_t> model_max_length;
};

/// Reads `tokenizer.json`. `place` names the file in errors.
/// Errors: FileError when it is damaged, ConfigError naming an unsupported part.
TokenizerFiles read_tokenizer_json(const std::string& text, const std::string& place);

/// Adds what `tokenizer_config.json` says. Errors: as above.
void read_tokenizer_config(const std::string& text, const std::string& place,
                           TokenizerFiles& files);

/// A tokenizer ready for use.
struct TokenizerParts {
  Bpe model;
  std::unordered_map<std::string, std::int32_t> ids;  ///< every token's text -> id
  std::vector<std::string> bytes_of;                  ///< id -> decoded bytes
  std::vector<bool> known;                            ///< id has a token
  std::unordered_set<std::int32_t> special;
  AddedTokenMatcher raw_matcher, normalized_matcher;
  bool nfc = false;
  std::vector<SplitRule> splits;
  std::vector<std::int32_t> prefix, suffix;
  std::optional<std::int32_t> eos_id, pad_id;
  std::optional<std::int64_t> model_max_length;
  std::uint64_t content_hash = 0;
};

}  // namespace zt::data
