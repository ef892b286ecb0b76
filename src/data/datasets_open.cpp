#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "data/dataset.h"

namespace zt::data {
namespace {

namespace fs = std::filesystem;
using config::DataConfig;

std::optional<std::int32_t> row_end_id(const DataConfig& options, const Tokenizer* tokenizer) {
  if (!options.packing || !tokenizer) return std::nullopt;
  if (tokenizer->eos_id()) return tokenizer->eos_id();
  if (tokenizer->pad_id()) return tokenizer->pad_id();
  throw ConfigError(
      "[data.packing] no token to end documents with: got neither eos_token nor pad_token, "
      "expected "
      "one in tokenizer_config.json. Add eos_token, or pass --packing False.");
}

std::int32_t pad_id(const Tokenizer* tokenizer) {
  if (!tokenizer) return 0;
  return tokenizer->pad_id().value_or(tokenizer->eos_id().value_or(0));
}

std::shared_ptr<const TokenCache> open_cache(const fs::path& directory, const std::string& flag,
                                             const DataConfig& options,
                                             const DatasetRequest& request) {
  auto files = find_corpus_files(directory, flag);
  if (!files.not_read.empty()) {
    log::info("data", fmt::format("{}: not read, as only .txt, .json and .jsonl files are: {}",
                                  directory.string(), files.not_read));
  }
  const Corpus corpus(std::move(files), options.keep_linebreaks);
  if (corpus.size() == 0) {
    throw ConfigError(
        fmt::format("[data.corpus] {} has no rows: the files of {} are empty. Put text "
                    "into them.",
                    flag, directory.string()));
  }
  const TokenizeOptions how{request.tokenizer, row_end_id(options, request.tokenizer),
                            options.keep_linebreaks, options.preprocessing_num_workers};
  const std::uint64_t key = cache_key(corpus, how);
  const fs::path path = request.cache_dir / fmt::format("tokens-{:016x}.bin", key);
  const bool rebuild = options.overwrite_cache && request.may_build;
  auto cache = rebuild ? std::nullopt : TokenCache::open(path, key);
  if (!cache && request.may_build) {
    log::info("data", fmt::format("tokenising {} rows of {} into {}", corpus.size(),
                                  directory.string(), path.string()));
    build_token_cache(corpus, how, key, path);
    cache = TokenCache::open(path, key);
  }
  if (!cache) {
    throw FileError(
        fmt::format("[data.cache] no tokens of {}: {} is missing or damaged. Let the first rank of "
                    "each machine "
                    "prepare it, on a disk that its ranks share.",
                    directory.string(), path.string()));
  }
  return std::make_shared<const TokenCache>(std::move(*cache));
}

/// `datasets` rounds percent borders half to even.
std::int64_t split_row(std::int64_t rows, int percentage) {
  return static_cast<std::int64_t>(
      std::nearbyint(static_cast<double>(percentage) * static_cast<double>(rows) / 100.0));
}

Dataset cut(std::shared_ptr<const TokenCache> cache, std::int64_t first, std::int64_t last,
            const BlockRules& rules, const std::string& what) {
  Dataset dataset(std::move(cache), first, last, rules);
  if (dataset.size() == 0) {
    throw ConfigError(
        fmt::format("[data.dataset] the {} set is empty: got {} rows without a token. "
                    "Give more data.",
                    what, last - first));
  }
  return dataset;
}

/// Training needs one whole block; a shorter evaluation set is one padded block.
void require_whole_block(const Dataset& train, const BlockRules& rules) {
  if (!rules.packing || rules.rule != config::PackingRule::stream) return;
  if (train.length(0) == rules.block_size) return;
  throw ConfigError(
      fmt::format("[data.packing] the training data is shorter than one block: got {} tokens, "
                  "expected at least "
                  "block_size {}. Lower --block_size or give more data.",
                  train.length(0), rules.block_size));
}

}  // namespace

Datasets open_datasets(const DataConfig& options, const DatasetRequest& request) {
  Datasets result;
  result.block_size = options.block_size;
  const auto longest = request.tokenizer ? request.tokenizer->model_max_length() : std::nullopt;
  if (longest && *longest < options.block_size) {
    result.block_size = *longest;
    log::info("data",
              fmt::format("--block_size {} is longer than the tokenizer's model_max_length; "
                          "blocks have {} tokens",
                          options.block_size, *longest));
  }
  BlockRules rules{.block_size = result.block_size,
                   .packing = options.packing,
                   .rule = options.packing_rule,
                   .hf_shards = options.preprocessing_num_workers,
                   .document_mask = options.document_mask,
                   .pad_id = pad_id(request.tokenizer),
                   .max_blocks = options.max_train_samples};
  const bool split = options.validation_file_dir.empty();
  if (options.train_file_dir.empty() && (request.want_train || split)) {
    throw ConfigError("[data.dataset] no data: --train_file_dir is not given. Name a folder.");
  }
  std::shared_ptr<const TokenCache> cache;
  std::int64_t border = 0;
  if (request.want_train || (request.want_eval && split)) {
    cache = open_cache(options.train_file_dir, "--train_file_dir", options, request);
    if (split) border = split_row(cache->rows(), options.validation_split_percentage);
  }
  if (request.want_train) {
    result.train = cut(cache, border, cache->rows(), rules, "training");
    require_whole_block(*result.train, rules);
  }
  if (!request.want_eval) return result;
  if (!split) {
    cache = open_cache(options.validation_file_dir, "--validation_file_dir", options, request);
    border = cache->rows();
  } else if (border == 0) {
    throw ConfigError(
        fmt::format("[data.dataset] no evaluation data: {} % of {} rows is none. Raise "
                    "--validation_split_percentage or name --validation_file_dir.",
                    options.validation_split_percentage, cache->rows()));
  }
  rules.max_blocks = options.max_eval_samples;
  result.eval = cut(cache, 0, border, rules, "evaluation");
  return result;
}

}  // namespace zt::data
