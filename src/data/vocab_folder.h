#pragma once

#include <string>

namespace zt::data {

/// The `tokenizer.json` that transformers would build from `vocab.json`, `merges.txt` and
/// `tokenizer_config.json` (may be empty) of a folder without one. The class named there decides:
/// GPT2Tokenizer (also when none is named) or GPTNeoXTokenizer, with or without "Fast". `place`
/// names the folder in errors.
/// Errors: FileError for a damaged file, ConfigError for another class or an option that changes
/// ids (add_prefix_space is refused by the reader of the result).
std::string tokenizer_json_of(const std::string& vocab, const std::string& merges,
                              const std::string& config, const std::string& place);

}  // namespace zt::data
