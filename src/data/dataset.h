#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/token_cache.h"

namespace zt::data {

/// Target that no loss is taken of.
inline constexpr std::int64_t kIgnoredTarget = -100;

/// How tokens become blocks of one length.
struct BlockRules {
  std::int64_t block_size = 0;
  bool packing = true;
  config::PackingRule rule = config::PackingRule::stream;
  int hf_shards = 1;           ///< rule hf: contiguous shares of the rows, as `num_proc` makes them
  bool document_mask = false;  ///< no target across documents
  std::int32_t pad_id = 0;
  std::int64_t max_blocks = -1;  ///< only the first ones; -1: all
};

/// Rows [first, last) of a cache cut into blocks of `block_size` tokens.
///
/// Packing, rule `stream`: all rows joined, cut, the tail dropped (kept, padded, when it is all
/// there is). Rule `hf`: the same per 1000 rows, as the `datasets` library maps batches. No
/// packing: one block per row, cut or padded at its end. Padding of text rows is a target, as in
/// the reference script; padding of rows with `input_ids` and of short packed blocks is not.
class Dataset {
 public:
  /// `cache`: shared between the training and the evaluation set when both are cut from one corpus.
  Dataset(std::shared_ptr<const TokenCache> cache, std::int64_t first_row, std::int64_t last_row,
          const BlockRules& rules);

  /// Blocks.
  std::int64_t size() const { return static_cast<std::int64_t>(blocks_.size()); }
  std::int64_t block_size() const { return rules_.block_size; }
  /// Tokens of a block before padding.
  std::int64_t length(std::int64_t block) const;
  std::vector<std::int32_t> lengths() const;
  /// Largest id of tokens and labels; the model's vocabulary must be larger.
  std::int32_t max_id() const { return cache_->max_id(); }
  /// Of the tokens that the blocks are cut from.
  std::uint64_t checksum() const { return cache_->checksum(); }

  /// Writes a block. Shapes: input_ids [block_size], targets [block_size]; targets[t] is the label
  /// of token t + 1, or kIgnoredTarget. Appends to `document_starts` the position of every document
  /// that starts in the block, beginning with 0 (what is left of a document counts as one).
  void read(std::int64_t block, std::span<std::int64_t> input_ids, std::span<std::int64_t> targets,
            std::vector<std::int32_t>& document_starts) const;

 private:
  struct Block {
    std::int64_t begin, length, row;  ///< first token; tokens; row that holds the first token
  };
  void cut_map_batches(std::int64_t first_row, std::int64_t last_row);
  void cut_packed(std::int64_t first_row, std::int64_t last_row);
  void cut_rows(std::int64_t first_row, std::int64_t last_row);

  std::shared_ptr<const TokenCache> cache_;
  BlockRules rules_;
  std::vector<Block> blocks_;
};

/// The training and evaluation sets of a run.
struct Datasets {
  std::optional<Dataset> train, eval;
  std::int64_t block_size = 0;
};

/// What to make and who makes it.
struct DatasetRequest {
  std::filesystem::path cache_dir;
  const Tokenizer* tokenizer = nullptr;  ///< null: only rows with `input_ids`
  bool want_train = true, want_eval = false;
  /// True on the one rank per machine that tokenises what is not cached; the others call afterwards
  /// and find it.
  bool may_build = true;
};

/// Finds, tokenises (once; later calls map the cache) and cuts the data that `options` names.
/// Without a validation folder the first round(P %) rows of the training data are the evaluation
/// set, as `split="train[:P%]"` of the `datasets` library cuts them. Errors: FileError, ConfigError
/// (no data, too little data for one block, no EOS to pack with).
Datasets open_datasets(const config::DataConfig& options, const DatasetRequest& request);

}  // namespace zt::data
