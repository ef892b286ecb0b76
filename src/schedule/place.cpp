#include "schedule/place.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

namespace zt::schedule {
namespace {

/// What a buffer takes of its arena. Host buffers lie at whole pages, as direct I/O wants them.
std::int64_t room(const Buffer& buffer) {
  constexpr std::int64_t kPage = 4096;
  return round_up(buffer.bytes().value,
                  buffer.where == Place::host ? kPage : kArenaAlignment.value);
}

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
    const auto size = room(buffer);
    // Placed buffers that live at the same time, by offset; the first gap that is large enough
    // wins.
    std::vector<std::pair<std::int64_t, std::int64_t>> taken;
    for (const int other : placed) {
      const auto& theirs = lives[static_cast<std::size_t>(other)];
      if (theirs.last < life.first || life.last < theirs.first) continue;
      const auto begin = program.buffer({other}).offset.value;
      taken.emplace_back(begin, begin + room(program.buffer({other})));
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
    end += room(buffer);
  }
  std::int64_t arena = end;
  for (const auto& variant : program.variants) {
    arena = std::max(arena, place_variant(program, variant, where, end));
  }
  return {arena};
}

/// Last operation on each stream that used something; -1: none.
using LastUse = std::array<int, kNumStreams>;
constexpr LastUse kNever{-1, -1, -1, -1, -1, -1, -1};

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

bool overlap(const Buffer& a, const Buffer& b) {
  return a.where == b.where && a.offset.value < b.offset.value + room(b) &&
         b.offset.value < a.offset.value + room(a);
}

/// Who used what, as far as a list of operations has been walked.
class Uses {
 public:
  explicit Uses(const Program& program)
      : program_(program),
        users_(program.buffers.size(), kNever),
        writers_(program.buffers.size(), kNever) {}

  /// Waits of `op` for what was walked so far.
  void add_waits(Operation& op) const {
    for (const auto id : op.reads) wait_for(op, writers_[static_cast<std::size_t>(id.value)]);
    for (const auto* list : {&op.writes, &op.starts, &op.ends}) {
      for (const auto id : *list) wait_for(op, users_[static_cast<std::size_t>(id.value)]);
    }
    for (const auto id : op.starts) {  // the memory's previous occupants
      const auto& mine = program_.buffer(id);
      if (mine.lifetime != Lifetime::micro) continue;
      for (const auto b : occupants_) {
        if (overlap(mine, program_.buffers[b])) wait_for(op, users_[b]);
      }
    }
  }

  void add(const Operation& op, int index) {
    const auto s = static_cast<std::size_t>(op.stream);
    for (const int id : touched(op)) {
      const auto b = static_cast<std::size_t>(id);
      if (users_[b] == kNever && program_.buffers[b].lifetime == Lifetime::micro)
        occupants_.push_back(b);
      users_[b].at(s) = index;
    }
    for (const auto id : op.writes) writers_[static_cast<std::size_t>(id.value)].at(s) = index;
  }

 private:
  const Program& program_;
  std::vector<LastUse> users_, writers_;  ///< by buffer: any use, last write
  std::vector<std::size_t> occupants_;    ///< micro buffers used so far
};

/// Waits of a variant's operations for those of the variant before that may still run.
void derive_carried(const Program& program, const Variant& before, Variant& variant) {
  Uses uses(program);
  for (int i = 0; i < static_cast<int>(before.operations.size()); ++i) {
    const auto& op = before.operations[static_cast<std::size_t>(i)];
    if (runs_on(op.stream)) uses.add(op, i);
  }
  for (auto& op : variant.operations) {
    Operation probe = op;
    probe.waits.clear();
    uses.add_waits(probe);
    drop_covered_waits(before, probe);
    for (const int wait : probe.waits) op.carried.push_back({before.kind, wait});
  }
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
  for (auto& buffer : program.buffers) {
    if (buffer.where != Place::nvme) continue;
    buffer.offset = program.on_disk;
    program.on_disk += buffer.bytes();
  }
}

void derive_waits(Program& program) {
  for (auto& variant : program.variants) {
    Uses uses(program);
    for (int i = 0; i < static_cast<int>(variant.operations.size()); ++i) {
      auto& op = variant.operations[static_cast<std::size_t>(i)];
      op.waits.clear();
      op.carried.clear();
      uses.add_waits(op);
      uses.add(op, i);
      drop_covered_waits(variant, op);
    }
  }
  for (auto& variant : program.variants) {
    for (const auto& before : program.variants) {
      if (follows(before.kind, variant.kind)) derive_carried(program, before, variant);
    }
  }
}

}  // namespace zt::schedule
