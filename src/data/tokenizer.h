#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/bpe.h"

namespace zt::data {

struct TokenizerParts;

/// Working memory of one encoding thread.
struct EncodeScratch {
  BpeScratch bpe;
  std::string normalized;
};

/// A Hugging Face byte-level BPE tokenizer: the same ids as the `tokenizers` package.
/// Immutable; used by any number of threads at once, each with a scratch of its own.
class Tokenizer {
 public:
  /// Reads `tokenizer.json` and, where present, `tokenizer_config.json` of `directory`; without the
  /// former, `vocab.json` and `merges.txt` of GPT-2's and GPT-NeoX's kind (vocab_folder.h).
  /// Errors: FileError for a missing or damaged file, ConfigError naming a part that is not
  /// supported (nothing is approximated).
  static Tokenizer load(const std::filesystem::path& directory);

  /// Builds one from the texts of the two files; `config_json` may be empty. `place` names them in
  /// errors. Errors: as `load`.
  static Tokenizer parse(const std::string& tokenizer_json, const std::string& config_json,
                         const std::string& place);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Appends the ids of `text`, with the template's tokens (Llama-3's begin of text) around them
  /// when `add_special_tokens`. Errors: FileError with the byte offset when `text` is not UTF-8.
  void encode(std::string_view text, bool add_special_tokens, EncodeScratch& scratch,
              std::vector<std::int32_t>& ids) const;
  std::vector<std::int32_t> encode(std::string_view text, bool add_special_tokens = true) const;

  /// Text of `ids`; broken UTF-8 becomes U+FFFD, ids outside the vocabulary give nothing.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = false) const;

  /// 1 + the largest id; the model's vocabulary must be at least as large.
  std::int32_t vocab_size() const;
  /// Id of a token by its text, added tokens first.
  std::optional<std::int32_t> id_of(const std::string& token) const;
  /// `eos_token`, `pad_token` of tokenizer_config.json.
  std::optional<std::int32_t> eos_id() const;
  std::optional<std::int32_t> pad_id() const;
  /// `model_max_length`; absent when the file has none or a placeholder (1e30).
  std::optional<std::int64_t> model_max_length() const;
  /// Hash of both files: equal hashes give equal ids.
  std::uint64_t content_hash() const;

 private:
  explicit Tokenizer(std::unique_ptr<const TokenizerParts> parts);
  std::unique_ptr<const TokenizerParts> parts_;
};

}  // namespace zt::data
