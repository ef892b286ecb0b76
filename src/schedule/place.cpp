#include "schedule/place.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

namespace zt::schedule {
namespace {

std::int64_t aligned(Bytes bytes) { return round_up(bytes.value, kArenaAlignment.value); }

/// All buffers an operation touches, without repeats.
std::vector<int> touched(const Operation& op) {
  std::vector<int> ids;
  for (const auto* list : {&op.reads, &op.writes, &op.starts, &op.ends}) {
    for (const auto id : *list) {
      if (std::find(ids.begin(), ids.end(), id.value) == ids.end()) ids.push_back(id.value);
    }
  }
  return ids;
}

/// Places the micro buffers of one variant behind `base`; returns the end of the space used.
std::int64_t place_variant(Program& program, const Variant& variant, Place where,
                           std::int64_t base) {
  const auto lives = spans(program, variant);
  std::vector<int> order;
  for (int b = 0; b < static_cast<int>(program.buffers.size()); ++b) {
    const auto& buffer = program.buffers[static_cast<std::size_t>(b)];
    if (buffer.lifetime == Lifetime::micro && buffer.where == where &&
        lives[static_cast<std::size_t>(b)].first >= 0) {
      order.push_back(b);
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return program.buffer({a}).bytes() > program.buffer({b}).bytes();
  });
  std::int64_t end = base;
  std::vector<int> placed;
  for (const int b : order) {
    auto& buffer = program.buffers[static_cast<std::size_t>(b)];
    const auto& life = lives[static_cast<std::size_t>(b)];
    const auto size = aligned(buffer.bytes());
    // Placed buffers that live at the same time, by offset; the first gap that is large enough
    // wins.
    std::vector<std::pair<std::int64_t, std::int64_t>> taken;
    for (const int other : placed) {
      const auto& theirs = lives[static_cast<std::size_t>(other)];
      if (theirs.last < life.first || life.last < theirs.first) continue;
      const auto begin = program.buffer({other}).offset.value;
      taken.emplace_back(begin, begin + aligned(program.buffer({other}).bytes()));
    }
    std::sort(taken.begin(), taken.end());
    std::int64_t offset = base;
    for (const auto& [begin, stop] : taken) {
      if (begin - offset >= size) break;
      offset = std::max(offset, stop);
    }
    buffer.offset = {offset};
    end = std::max(end, offset + size);
    placed.push_back(b);
  }
  return end;
}

Bytes place_arena(Program& program, Place where) {
  std::int64_t end = 0;
  for (auto& buffer : program.buffers) {
    if (buffer.where != where || buffer.lifetime == Lifetime::micro) continue;
    buffer.offset = {end};
    end += aligned(buffer.bytes());
  }
  std::int64_t arena = end;
  for (const auto& variant : program.variants) {
    arena = std::max(arena, place_variant(program, variant, where, end));
  }
  return {arena};
}

/// Last operation on each stream that used something; -1: none.
using LastUse = std::array<int, kNumStreams>;
constexpr LastUse kNever{-1, -1, -1};

void wait_for(Operation& op, const LastUse& use) {
  for (int s = 0; s < kNumStreams; ++s) {
    const int index = use.at(static_cast<std::size_t>(s));
    if (index < 0 || s == static_cast<int>(op.stream)) continue;
    if (std::find(op.waits.begin(), op.waits.end(), index) == op.waits.end())
      op.waits.push_back(index);
  }
}

/// A later wait on a stream covers the earlier ones on that stream.
void drop_covered_waits(const Variant& variant, Operation& op) {
  LastUse latest = kNever;
  for (const int wait : op.waits) {
    const auto s =
        static_cast<std::size_t>(variant.operations[static_cast<std::size_t>(wait)].stream);
    latest.at(s) = std::max(latest.at(s), wait);
  }
  op.waits.clear();
  for (const int wait : latest) {
    if (wait >= 0) op.waits.push_back(wait);
  }
  std::sort(op.waits.begin(), op.waits.end());
}

}  // namespace

std::vector<Span> spans(const Program& program, const Variant& variant) {
  std::vector<Span> result(program.buffers.size());
  for (int i = 0; i < static_cast<int>(variant.operations.size()); ++i) {
    for (const int b : touched(variant.operations[static_cast<std::size_t>(i)])) {
      auto& life = result[static_cast<std::size_t>(b)];
      if (life.first < 0) life.first = i;
      life.last = i;
    }
  }
  return result;
}

void place(Program& program) {
  program.device_arena = place_arena(program, Place::device);
  program.host_arena = place_arena(program, Place::host);
}

void derive_waits(Program& program) {
  for (auto& variant : program.variants) {
    std::vector<LastUse> users(program.buffers.size(), kNever);    // any use
    std::vector<LastUse> writers(program.buffers.size(), kNever);  // last write
    std::vector<std::size_t> occupants;  // buffers of this variant used so far
    for (int i = 0; i < static_cast<int>(variant.operations.size()); ++i) {
      auto& op = variant.operations[static_cast<std::size_t>(i)];
      op.waits.clear();
      const auto s = static_cast<std::size_t>(op.stream);
      for (const auto id : op.reads) wait_for(op, writers[static_cast<std::size_t>(id.value)]);
      for (const auto* list : {&op.writes, &op.starts, &op.ends}) {
        for (const auto id : *list) wait_for(op, users[static_cast<std::size_t>(id.value)]);
      }
      for (const auto id : op.starts) {  // the memory's previous occupants
        const auto& mine = program.buffer(id);
        if (mine.lifetime != Lifetime::micro) continue;
        for (const auto b : occupants) {
          const auto& other = program.buffers[b];
          if (other.where != mine.where) continue;
          if (other.offset.value < mine.offset.value + aligned(mine.bytes()) &&
              mine.offset.value < other.offset.value + aligned(other.bytes())) {
            wait_for(op, users[b]);
          }
        }
      }
      for (const int id : touched(op)) {
        const auto b = static_cast<std::size_t>(id);
        if (users[b] == kNever && program.buffers[b].lifetime == Lifetime::micro)
          occupants.push_back(b);
        users[b].at(s) = i;
      }
      for (const auto id : op.writes) writers[static_cast<std::size_t>(id.value)].at(s) = i;
      drop_covered_waits(variant, op);
    }
  }
}

}  // namespace zt::schedule
