#include "schedule/arena_peak.h"

#include <algorithm>
#include <map>
#include <utility>

#include "schedule/place.h"

namespace zt::schedule {
namespace {

/// The operation of a variant at which its own buffers take most, and how much that is.
struct Peak {
  int operation = -1;
  std::int64_t bytes = 0;
};

Peak peak_of(const Program& program, const std::vector<Span>& lives, std::size_t operations,
             Place where) {
  std::vector<std::int64_t> change(operations + 1, 0);
  for (std::size_t b = 0; b < program.buffers.size(); ++b) {
    const auto& buffer = program.buffers[b];
    if (buffer.lifetime != Lifetime::micro || buffer.where != where || lives[b].first < 0) continue;
    change[static_cast<std::size_t>(lives[b].first)] += buffer.bytes().value;
    change[static_cast<std::size_t>(lives[b].last) + 1] -= buffer.bytes().value;
  }
  Peak peak;
  std::int64_t live = 0;
  for (std::size_t i = 0; i < operations; ++i) {
    live += change[i];
    if (peak.operation < 0 || live > peak.bytes) peak = {static_cast<int>(i), live};
  }
  return peak;
}

void add_items(ArenaPeak& arena, const Program& program, const std::vector<Span>& lives,
               Place where) {
  std::map<std::pair<BufferKind, int>, LiveItem> items;
  for (std::size_t b = 0; b < program.buffers.size(); ++b) {
    const auto& buffer = program.buffers[b];
    if (buffer.where != where) continue;
    const bool live = buffer.lifetime != Lifetime::micro ||
                      (!lives.empty() && lives[b].first >= 0 && lives[b].first <= arena.operation &&
                       arena.operation <= lives[b].last);
    if (!live) continue;
    arena.kinds.at(static_cast<std::size_t>(buffer.kind)) += buffer.bytes();
    auto& item = items[{buffer.kind, buffer.index}];
    item = {buffer.kind, buffer.index, item.count + 1, item.bytes + buffer.bytes()};
  }
  for (const auto& [key, item] : items) arena.items.push_back(item);
  std::stable_sort(arena.items.begin(), arena.items.end(),
                   [](const LiveItem& a, const LiveItem& b) { return a.bytes > b.bytes; });
}

}  // namespace

ArenaPeak arena_peak(const Program& program, Place where) {
  ArenaPeak result;
  result.arena = where == Place::device ? program.device_arena : program.host_arena;
  std::int64_t most = -1;
  std::vector<Span> at_peak;
  for (const auto& variant : program.variants) {
    if (variant.operations.empty()) continue;
    auto lives = spans(program, variant);
    const auto peak = peak_of(program, lives, variant.operations.size(), where);
    if (peak.bytes <= most) continue;
    most = peak.bytes;
    at_peak = std::move(lives);
    result.variant = variant.kind;
    result.operation = peak.operation;
    result.operation_text = to_string(variant.operations[static_cast<std::size_t>(peak.operation)]);
  }
  add_items(result, program, at_peak, where);
  result.unused = result.arena;
  for (const auto kind : result.kinds) result.unused -= kind;
  return result;
}

}  // namespace zt::schedule
