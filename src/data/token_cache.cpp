#include "data/token_cache.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "data/token_cache_format.h"

namespace zt::data {
namespace {

template <typename T>
std::span<const T> take(const char*& cursor, std::int64_t count) {
  const auto* first = reinterpret_cast<const T*>(cursor);
  cursor += static_cast<std::size_t>(count) * sizeof(T);
  return {first, static_cast<std::size_t>(count)};
}

/// What is wrong with the file, or nothing.
std::string check(std::string_view bytes, CacheHeader& header) {
  if (bytes.size() < sizeof header) return "shorter than its header";
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kCacheMagic) return "not a token cache of this version";
  if (cache_file_size(header) != static_cast<std::int64_t>(bytes.size())) return "truncated";
  if (cache_checksum(header, bytes.substr(sizeof header)) != header.checksum) {
    return "its checksum does not fit";
  }
  return {};
}

}  // namespace

std::uint64_t cache_checksum(CacheHeader header, std::string_view payload) {
  header.checksum = 0;
  const std::uint64_t seed = XXH3_64bits(&header, sizeof header);
  return XXH3_64bits_withSeed(payload.data(), payload.size(), seed);
}

std::optional<TokenCache> TokenCache::open(const std::filesystem::path& path, std::uint64_t key) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  TokenCache cache;
  CacheHeader header;
  std::string wrong;
  try {
    cache.file_ = MappedFile(path);
    wrong = check(cache.file_.bytes(), header);
  } catch (const FileError& error) {
    wrong = error.what();
  }
  if (!wrong.empty()) {
    log::warning("data", fmt::format("token cache {} is damaged ({})", path.string(), wrong));
    return std::nullopt;
  }
  if (header.key != key) return std::nullopt;
  const char* cursor = cache.file_.bytes().data() + sizeof header;
  cache.tokens_ = take<std::int32_t>(cursor, padded_tokens(header));
  cache.tokens_ = cache.tokens_.first(static_cast<std::size_t>(header.tokens));
  cache.row_offsets_ = take<std::int64_t>(cursor, header.rows + 1);
  cache.label_rows_ = take<std::int64_t>(cursor, header.label_rows);
  cache.label_offsets_ = take<std::int64_t>(cursor, header.label_rows + 1);
  cache.labels_ = take<std::int32_t>(cursor, header.label_tokens);
  cache.kinds_ = take<std::uint8_t>(cursor, header.rows);
  cache.max_id_ = static_cast<std::int32_t>(header.max_id);
  cache.checksum_ = header.checksum;
  return cache;
}

std::span<const std::int32_t> TokenCache::labels(std::int64_t row) const {
  const auto found = std::lower_bound(label_rows_.begin(), label_rows_.end(), row);
  if (found == label_rows_.end() || *found != row) return {};
  const auto index = static_cast<std::size_t>(found - label_rows_.begin());
  return labels_.subspan(
      static_cast<std::size_t>(label_offsets_[index]),
      static_cast<std::size_t>(label_offsets_[index + 1] - label_offsets_[index]));
}

std::uint64_t cache_key(const Corpus& corpus, const TokenizeOptions& options) {
  struct Settings {
    std::uint64_t version, content, tokenizer;
    std::int64_t row_end, keep_linebreaks;
  };
  const Settings settings{2, corpus.content_hash(),
                          options.tokenizer ? options.tokenizer->content_hash() : 0,
                          options.row_end.value_or(-1), options.keep_linebreaks ? 1 : 0};
  return XXH3_64bits(&settings, sizeof settings);
}

}  // namespace zt::data
