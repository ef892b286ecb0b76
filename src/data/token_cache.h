#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "data/corpus.h"
#include "data/mapped_file.h"
#include "data/tokenizer.h"

namespace zt::data {

/// How rows become tokens.
struct TokenizeOptions {
  const Tokenizer* tokenizer = nullptr;  ///< null: only rows with `input_ids` are accepted
  /// Ends every text row that does not end in it already; rows with `input_ids` are left as they
  /// are.
  std::optional<std::int32_t> row_end;
  bool keep_linebreaks = true;
  int workers = 0;  ///< threads; 0: all cores
};

/// The tokens of a corpus in one memory-mapped file: all rows joined, the row borders, and the
/// labels of the rows that have them. Immutable; any number of processes map the same file.
class TokenCache {
 public:
  /// Maps `path`. Nothing when it does not exist, is damaged (with a warning in the log) or has
  /// another key.
  static std::optional<TokenCache> open(const std::filesystem::path& path, std::uint64_t key);

  std::span<const std::int32_t> tokens() const { return tokens_; }
  /// Row r is tokens [offsets[r], offsets[r + 1]); rows + 1 entries.
  std::span<const std::int64_t> row_offsets() const { return row_offsets_; }
  std::int64_t rows() const { return static_cast<std::int64_t>(row_offsets_.size()) - 1; }
  /// True when row `row` came as `input_ids`.
  bool is_pretokenised(std::int64_t row) const {
    return kinds_[static_cast<std::size_t>(row)] != 0;
  }
  /// Labels of `row`, as many as its tokens; empty when the row has none of its own.
  std::span<const std::int32_t> labels(std::int64_t row) const;
  /// Largest id of tokens and labels; -1 without tokens. The model's vocabulary must be larger.
  std::int32_t max_id() const { return max_id_; }
  /// Of all of the file: equal where tokens, row borders and labels are.
  std::uint64_t checksum() const { return checksum_; }

 private:
  MappedFile file_;
  std::span<const std::int32_t> tokens_, labels_;
  std::span<const std::int64_t> row_offsets_, label_rows_, label_offsets_;
  std::span<const std::uint8_t> kinds_;
  std::int32_t max_id_ = -1;
  std::uint64_t checksum_ = 0;
};

/// Name-independent key of the tokens of `corpus`: contents, tokenizer and options.
std::uint64_t cache_key(const Corpus& corpus, const TokenizeOptions& options);

/// Tokenises `corpus` with all workers and publishes the cache file at `path` by one rename.
/// Errors: FileError naming the first malformed rows as `file:line` and their count, or when the
/// file cannot be written.
void build_token_cache(const Corpus& corpus, const TokenizeOptions& options, std::uint64_t key,
                       const std::filesystem::path& path);

}  // namespace zt::data
