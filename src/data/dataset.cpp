#include "data/dataset.h"

#include <algorithm>

#include "base/error.h"

namespace zt::data {
namespace {

constexpr std::int64_t kRowsPerMapBatch = 1000;  // default batch of `datasets.map`

}  // namespace

Dataset::Dataset(std::shared_ptr<const TokenCache> cache, std::int64_t first_row,
                 std::int64_t last_row, const BlockRules& rules)
    : cache_(std::move(cache)), rules_(rules) {
  ZT_ASSERT(rules_.block_size > 0, "blocks hold at least one token");
  if (!rules_.packing) {
    cut_rows(first_row, last_row);
  } else if (rules_.rule == config::PackingRule::stream) {
    cut_packed(first_row, last_row);
  } else {
    const std::int64_t rows = last_row - first_row;
    const std::int64_t shards =
        std::max<std::int64_t>(1, std::min<std::int64_t>(rules_.hf_shards, rows));
    std::int64_t begin = first_row;
    for (std::int64_t shard = 0; shard < shards; ++shard) {
      const std::int64_t end = begin + rows / shards + (shard < rows % shards ? 1 : 0);
      cut_map_batches(begin, end);
      begin = end;
    }
  }
  if (rules_.max_blocks > 0 && size() > rules_.max_blocks) {
    blocks_.resize(static_cast<std::size_t>(rules_.max_blocks));
  }
}

void Dataset::cut_map_batches(std::int64_t first_row, std::int64_t last_row) {
  for (std::int64_t row = first_row; row < last_row; row += kRowsPerMapBatch) {
    cut_packed(row, std::min(row + kRowsPerMapBatch, last_row));
  }
}

void Dataset::cut_packed(std::int64_t first_row, std::int64_t last_row) {
  const auto offsets = cache_->row_offsets();
  const std::int64_t begin = offsets[static_cast<std::size_t>(first_row)];
  const std::int64_t end = offsets[static_cast<std::size_t>(last_row)];
  std::int64_t row = first_row;
  const auto add = [&](std::int64_t at, std::int64_t length) {
    while (offsets[static_cast<std::size_t>(row) + 1] <= at) ++row;
    blocks_.push_back({at, length, row});
  };
  std::int64_t at = begin;
  for (; at + rules_.block_size <= end; at += rules_.block_size) add(at, rules_.block_size);
  if (at == begin && at < end) add(at, end - at);
}

void Dataset::cut_rows(std::int64_t first_row, std::int64_t last_row) {
  const auto offsets = cache_->row_offsets();
  for (std::int64_t row = first_row; row < last_row; ++row) {
    const std::int64_t begin = offsets[static_cast<std::size_t>(row)];
    const std::int64_t length = offsets[static_cast<std::size_t>(row) + 1] - begin;
    blocks_.push_back({begin, std::min(length, rules_.block_size), row});
  }
}

std::int64_t Dataset::length(std::int64_t block) const {
  return blocks_[static_cast<std::size_t>(block)].length;
}

std::vector<std::int32_t> Dataset::lengths() const {
  std::vector<std::int32_t> result;
  for (const Block& block : blocks_) result.push_back(static_cast<std::int32_t>(block.length));
  return result;
}

void Dataset::read(std::int64_t index, std::span<std::int64_t> input_ids,
                   std::span<std::int64_t> targets,
                   std::vector<std::int32_t>& document_starts) const {
  const Block& block = blocks_.at(static_cast<std::size_t>(index));
  const auto offsets = cache_->row_offsets();
  const auto tokens = cache_->tokens();
  const std::int64_t size = rules_.block_size;
  ZT_ASSERT(std::ssize(input_ids) == size && std::ssize(targets) == size, "spans hold one block");
  const bool pads_are_targets = !rules_.packing && !cache_->is_pretokenised(block.row);
  std::fill(input_ids.begin(), input_ids.end(), rules_.pad_id);
  std::fill(targets.begin(), targets.end(), kIgnoredTarget);
  const auto put_target = [&](std::int64_t position, std::int64_t label) {
    if (position > 0) targets[static_cast<std::size_t>(position - 1)] = label;
  };
  std::int64_t done = 0;
  for (std::int64_t row = block.row; done < block.length; ++row) {
    const std::int64_t row_begin = offsets[static_cast<std::size_t>(row)];
    const std::int64_t row_end = offsets[static_cast<std::size_t>(row) + 1];
    const std::int64_t stop = std::min(row_end - block.begin, block.length);
    if (stop <= done) continue;  // an empty row
    document_starts.push_back(static_cast<std::int32_t>(done));
    const std::int64_t document_begin = done;
    const auto labels = cache_->labels(row);
    for (; done < stop; ++done) {
      const std::int64_t at = block.begin + done;
      const std::int32_t id = tokens[static_cast<std::size_t>(at)];
      input_ids[static_cast<std::size_t>(done)] = id;
      const bool crosses = rules_.document_mask && done == document_begin;
      const std::int32_t label =
          labels.empty() ? id : labels[static_cast<std::size_t>(at - row_begin)];
      put_target(done, crosses ? kIgnoredTarget : label);
    }
  }
  if (done < size) document_starts.push_back(static_cast<std::int32_t>(done));
  for (; done < size && pads_are_targets; ++done) put_target(done, rules_.pad_id);
}

}  // namespace zt::data
