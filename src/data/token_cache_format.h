#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace zt::data {

/// First bytes of a token cache; little-endian. The sections that follow: tokens as int32, padded
/// to 8 bytes; row offsets (rows + 1), label rows, label offsets (label_rows + 1) as int64; labels
/// as int32; kinds (rows) as bytes: 1 for rows that came as ids.
struct CacheHeader {
  std::array<char, 8> magic;
  std::uint64_t key;
  std::uint64_t checksum;  ///< XXH3 of everything after the header, seeded with XXH3 of the header
                           ///< in which this field is 0
  std::int64_t rows, label_rows, tokens, label_tokens;
  std::int64_t max_id;
};
static_assert(sizeof(CacheHeader) == 64);

inline constexpr std::array<char, 8> kCacheMagic = {'Z', 'T', 'T', 'O', 'K', '0', '1', '\n'};

/// Entries of the token section, filler included.
inline std::int64_t padded_tokens(const CacheHeader& h) { return h.tokens + h.tokens % 2; }

/// Bytes of a whole file with this header; -1 when the counts make no sense.
inline std::int64_t cache_file_size(const CacheHeader& h) {
  constexpr std::int64_t kMost = std::int64_t{1} << 48;
  for (const std::int64_t n : {h.rows, h.label_rows, h.tokens, h.label_tokens}) {
    if (n < 0 || n > kMost) return -1;
  }
  return static_cast<std::int64_t>(sizeof(CacheHeader)) + 4 * padded_tokens(h) +
         8 * (h.rows + 1 + 2 * h.label_rows + 1) + 4 * h.label_tokens + h.rows;
}

/// The checksum field of `header` followed by `payload`.
std::uint64_t cache_checksum(CacheHeader header, std::string_view payload);

}  // namespace zt::data
