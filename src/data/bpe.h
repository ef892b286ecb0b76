#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace zt::data {

/// The character that stands for each byte in a byte-level vocabulary (space is U+0120).
std::array<std::uint32_t, 256> byte_level_characters();

/// The bytes that `token`, written in byte-level characters, stands for; nothing when it has any
/// other character.
std::optional<std::string> byte_level_bytes(std::string_view token);

/// Parts of a `tokenizer.json` BPE model.
struct BpeParts {
  std::unordered_map<std::string, std::int32_t> vocab;      ///< byte-level token -> id
  std::vector<std::pair<std::string, std::string>> merges;  ///< best first
  std::string unk_token;  ///< empty: characters without a token are dropped
  bool fuse_unk = false;
  bool ignore_merges = false;  ///< a whole piece in the vocabulary is one token
};

/// Working memory of one thread: symbol lists and a bounded cache of pieces already merged.
class BpeScratch {
 public:
  BpeScratch();

 private:
  friend class Bpe;
  struct Symbol {
    std::int32_t id, prev, next;
  };
  struct Merge {
    std::int32_t rank, left, id;  ///< position of the left symbol; id of the result
  };
  struct CacheSlot {
    std::uint32_t key_begin = 0, key_size = 0, ids_begin = 0, ids_size = 0;
    std::uint64_t hash = 0;
  };
  void forget();

  std::vector<Symbol> symbols_;
  std::vector<Merge> heap_;
  std::vector<CacheSlot> slots_;
  std::string cached_bytes_;
  std::vector<std::int32_t> cached_ids_;
};

/// Byte-pair encoding of one piece of text. Immutable; used by any number of threads, each with a
/// scratch of its own.
class Bpe {
 public:
  /// Errors: FileError when a merge names a token that is not in the vocabulary.
  explicit Bpe(const BpeParts& parts);

  /// Appends the ids of `piece` to `ids`: the pair of lowest rank is merged first, leftmost on
  /// ties. Time: O(n log n) in the bytes of the piece.
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;

 private:
  struct PairSlot {
    std::uint64_t key = ~0ULL;
    std::int32_t rank = 0, id = 0;
  };
  const PairSlot* find_pair(std::int32_t left, std::int32_t right) const;
  void add_pair(std::int32_t left, std::int32_t right, std::int32_t rank, std::int32_t id);
  void merge(std::string_view piece, BpeScratch& scratch, std::vector<std::int32_t>& ids) const;
  void load_symbols(std::string_view piece, BpeScratch& scratch) const;
  void merge_short(BpeScratch& scratch) const;
  void merge_long(BpeScratch& scratch) const;

  std::array<std::int32_t, 256> byte_ids_;               ///< -1: no token
  std::vector<PairSlot> pairs_;                          ///< open addressing, a power of two
  std::unordered_map<std::string, std::int32_t> whole_;  ///< bytes -> id, only with ignore_merges
  std::int32_t unk_id_ = -1;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
};

}  // namespace zt::data
