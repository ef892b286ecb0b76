#include "data/bpe.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "base/units.h"
#include "data/utf8.h"

namespace zt::data {
namespace {

constexpr std::size_t kCacheSlots = 1 << 16;
constexpr std::size_t kCachedPieceBytes = 64;   // longer pieces seldom come back
constexpr std::size_t kCacheBytes = 4 << 20;    // then the cache starts afresh
constexpr std::size_t kShortPieceSymbols = 48;  // below this a scan beats a heap

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0x9E3779B97F4A7C15ULL;
  return x ^ x >> 29;
}

std::int32_t id_of(const BpeParts& parts, const std::string& token) {
  const auto found = parts.vocab.find(token);
  if (found == parts.vocab.end()) {
    throw FileError(
        fmt::format("[data.tokenizer] a merge uses a token outside the vocabulary: got `{}`. The "
                    "tokenizer.json "
                    "is damaged; copy it again.",
                    token));
  }
  return found->second;
}

}  // namespace

std::array<std::uint32_t, 256> byte_level_characters() {
  std::array<std::uint32_t, 256> characters{};
  std::uint32_t next = 256;
  for (std::uint32_t b = 0; b < 256; ++b) {
    const bool same = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    characters[b] = same ? b : next++;
  }
  return characters;
}

std::optional<std::string> byte_level_bytes(std::string_view token) {
  static const auto bytes = [] {
    std::array<int, 324> table;
    table.fill(-1);
    const auto characters = byte_level_characters();
    for (int b = 0; b < 256; ++b) table[characters[static_cast<std::size_t>(b)]] = b;
    return table;
  }();
  std::string out;
  for (std::size_t pos = 0; pos < token.size();) {
    const CodePoint c = decode_code_point(token, pos);
    if (c.value >= bytes.size() || bytes[c.value] < 0) return std::nullopt;
    out.push_back(static_cast<char>(bytes[c.value]));
    pos += c.size;
  }
  return out;
}

BpeScratch::BpeScratch() : slots_(kCacheSlots) {}

void BpeScratch::forget() {
  std::fill(slots_.begin(), slots_.end(), CacheSlot{});
  cached_bytes_.clear();
  cached_ids_.clear();
}

Bpe::Bpe(const BpeParts& parts)
    : pairs_(std::bit_ceil(parts.merges.size() * 2 + 2)),
      fuse_unk_(parts.fuse_unk),
      ignore_merges_(parts.ignore_merges) {
  const auto characters = byte_level_characters();
  for (std::size_t b = 0; b < 256; ++b) {
    std::string character;
    append_utf8(characters[b], character);
    const auto found = parts.vocab.find(character);
    byte_ids_[b] = found == parts.vocab.end() ? -1 : found->second;
  }
  if (!parts.unk_token.empty()) unk_id_ = id_of(parts, parts.unk_token);
  for (std::size_t rank = 0; rank < parts.merges.size(); ++rank) {
    const auto& [left, right] = parts.merges[rank];
    add_pair(id_of(parts, left), id_of(parts, right), checked_narrow<std::int32_t>(rank),
             id_of(parts, left + right));
  }
  if (ignore_merges_) {
    for (const auto& [token, id] : parts.vocab) {
      if (const auto bytes = byte_level_bytes(token)) whole_.emplace(*bytes, id);
    }
  }
}

void Bpe::add_pair(std::int32_t left, std::int32_t right, std::int32_t rank, std::int32_t id) {
  const std::uint64_t key = pair_key(left, right);
  const std::size_t mask = pairs_.size() - 1;
  std::size_t slot = mix(key) & mask;
  while (pairs_[slot].key != ~0ULL && pairs_[slot].key != key) slot = (slot + 1) & mask;
  pairs_[slot] = {key, rank, id};
}

const Bpe::PairSlot* Bpe::find_pair(std::int32_t left, std::int32_t right) const {
  const std::uint64_t key = pair_key(left, right);
  const std::size_t mask = pairs_.size() - 1;
  for (std::size_t slot = mix(key) & mask;; slot = (slot + 1) & mask) {
    if (pairs_[slot].key == key) return &pairs_[slot];
    if (pairs_[slot].key == ~0ULL) return nullptr;
  }
}

void Bpe::encode(std::string_view piece, BpeScratch& scratch,
                 std::vector<std::int32_t>& ids) const {
  if (piece.size() == 1 && byte_ids_[static_cast<unsigned char>(piece[0])] >= 0) {
    ids.push_back(byte_ids_[static_cast<unsigned char>(piece[0])]);
    return;
  }
  if (piece.size() > kCachedPieceBytes) {
    merge(piece, scratch, ids);
    return;
  }
  const std::uint64_t hash = XXH3_64bits(piece.data(), piece.size());
  BpeScratch::CacheSlot* slot = &scratch.slots_[hash % kCacheSlots];
  const auto cached_key = [&] {
    return std::string_view(scratch.cached_bytes_).substr(slot->key_begin, slot->key_size);
  };
  if (slot->key_size == piece.size() && slot->hash == hash && cached_key() == piece) {
    const auto begin = scratch.cached_ids_.begin() + slot->ids_begin;
    ids.insert(ids.end(), begin, begin + slot->ids_size);
    return;
  }
  const std::size_t before = ids.size();
  merge(piece, scratch, ids);
  if (scratch.cached_bytes_.size() + piece.size() > kCacheBytes) scratch.forget();
  *slot = {static_cast<std::uint32_t>(scratch.cached_bytes_.size()),
           static_cast<std::uint32_t>(piece.size()),
           static_cast<std::uint32_t>(scratch.cached_ids_.size()),
           static_cast<std::uint32_t>(ids.size() - before), hash};
  scratch.cached_bytes_.append(piece);
  scratch.cached_ids_.insert(scratch.cached_ids_.end(),
                             ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end());
}

void Bpe::load_symbols(std::string_view piece, BpeScratch& scratch) const {
  auto& symbols = scratch.symbols_;
  symbols.clear();
  bool unknown_open = false;
  for (const char c : piece) {
    std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id < 0) {
      if (unk_id_ < 0 || (fuse_unk_ && unknown_open)) continue;
      id = unk_id_;
      unknown_open = true;
    } else {
      unknown_open = false;
    }
    const auto at = static_cast<std::int32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  }
  if (!symbols.empty()) symbols.back().next = -1;
}

void Bpe::merge(std::string_view piece, BpeScratch& scratch, std::vector<std::int32_t>& ids) const {
  if (ignore_merges_) {
    if (const auto found = whole_.find(std::string(piece)); found != whole_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  load_symbols(piece, scratch);
  if (scratch.symbols_.empty()) return;
  if (scratch.symbols_.size() <= kShortPieceSymbols) {
    merge_short(scratch);
  } else {
    merge_long(scratch);
  }
  for (std::int32_t at = 0; at >= 0; at = scratch.symbols_[static_cast<std::size_t>(at)].next) {
    ids.push_back(scratch.symbols_[static_cast<std::size_t>(at)].id);
  }
}

void Bpe::merge_short(BpeScratch& scratch) const {
  // ranks[i]: rank of the pair (i, i + 1) of the symbols still alive, kept packed at the front.
  auto& symbols = scratch.symbols_;
  constexpr std::int32_t kNoMerge = 0x7FFFFFFF;
  std::array<std::int32_t, kShortPieceSymbols> ranks, results;
  std::size_t count = symbols.size();
  const auto refresh = [&](std::size_t i) {
    const PairSlot* pair = find_pair(symbols[i].id, symbols[i + 1].id);
    ranks[i] = pair ? pair->rank : kNoMerge;
    results[i] = pair ? pair->id : -1;
  };
  for (std::size_t i = 0; i + 1 < count; ++i) refresh(i);
  while (count > 1) {
    const auto end = ranks.begin() + static_cast<std::ptrdiff_t>(count - 1);
    const auto best = std::min_element(ranks.begin(), end);
    if (*best == kNoMerge) break;
    const auto i = static_cast<std::size_t>(best - ranks.begin());
    symbols[i].id = results[i];
    for (std::size_t k = i + 1; k + 1 < count; ++k) {
      symbols[k].id = symbols[k + 1].id;
      ranks[k] = ranks[k + 1];
      results[k] = results[k + 1];
    }
    --count;
    if (i > 0) refresh(i - 1);
    if (i + 1 < count) refresh(i);
  }
  symbols[count - 1].next = -1;
}

void Bpe::merge_long(BpeScratch& scratch) const {
  auto& symbols = scratch.symbols_;
  auto& heap = scratch.heap_;
  using Merge = BpeScratch::Merge;
  const auto later = [](const Merge& a, const Merge& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
  };
  const auto at = [&](std::int32_t i) -> BpeScratch::Symbol& {
    return symbols[static_cast<std::size_t>(i)];
  };
  const auto propose = [&](std::int32_t left) {
    if (left < 0 || at(left).next < 0) return false;
    const PairSlot* pair = find_pair(at(left).id, at(at(left).next).id);
    if (pair) heap.push_back({pair->rank, left, pair->id});
    return pair != nullptr;
  };
  heap.clear();
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(symbols.size()); ++i) propose(i);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    const Merge best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    auto& left = at(best.left);
    if (left.id < 0 || left.next < 0) continue;  // merged away since
    auto& right = at(left.next);
    const PairSlot* pair = find_pair(left.id, right.id);
    if (!pair || pair->rank != best.rank) continue;  // a neighbour changed since
    left.id = best.id;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) at(left.next).prev = best.left;
    if (propose(left.prev)) std::push_heap(heap.begin(), heap.end(), later);
    if (propose(best.left)) std::push_heap(heap.begin(), heap.end(), later);
  }
}

}  // namespace zt::data
