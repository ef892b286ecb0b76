#include "schedule/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace zt::schedule {
namespace {

using Clock = std::array<int, kNumStreams>;  ///< operations of each stream known to be finished

struct Point {  ///< one operation of the variant
  std::size_t stream = 0;
  int sequence = 0;  ///< position on its stream, from 1
};

struct BufferState {
  bool live = false, written = false;
  bool shared = false;         ///< other ranks update parts of it, which publish brings
  bool stale = false;          ///< such parts were updated and not published
  std::vector<Point> readers;  ///< since the last write
  std::vector<Point> writers;
};

/// What every operation knows to be finished, as vector clocks.
class Clocks {
 public:
  /// Begins a list; returns what all its operations know: all before it, or, where it is not
  /// `joined` with the list before, all of the lists before that, and its compute and
  /// communication.
  Clock begin(std::size_t num_operations, bool joined) {
    Clock known = joined ? sequence_ : began_;
    for (const auto stream : {Stream::compute, Stream::comm}) {
      const auto s = static_cast<std::size_t>(stream);
      known.at(s) = sequence_.at(s);
      merge(known, last_on_stream_.at(s));
    }
    for (auto& clock : last_on_stream_) merge(clock, known);
    before_ = std::exchange(list_, std::vector<Clock>(num_operations));
    began_ = sequence_;
    return known;
  }

  static void merge(Clock& clock, const Clock& other) {
    for (std::size_t s = 0; s < clock.size(); ++s) clock.at(s) = std::max(clock.at(s), other.at(s));
  }

  [[nodiscard]] const Clock& after(int index) const {
    return list_.at(static_cast<std::size_t>(index));
  }
  [[nodiscard]] const Clock& after_carried(int index) const {
    return before_.at(static_cast<std::size_t>(index));
  }
  [[nodiscard]] const Clock& last_on(std::size_t stream) const {
    return last_on_stream_.at(stream);
  }

  Point next_on(std::size_t stream) { return {stream, ++sequence_.at(stream)}; }

  /// `clock`: what was finished when the operation at `point` began.
  void finish(int index, const Point& point, Clock clock) {
    clock.at(point.stream) = point.sequence;
    last_on_stream_.at(point.stream) = clock;
    list_.at(static_cast<std::size_t>(index)) = clock;
  }

 private:
  std::vector<Clock> list_, before_;  ///< by operation of this list and the one before
  std::array<Clock, kNumStreams> last_on_stream_{};
  Clock sequence_{};  ///< operations of each stream so far
  Clock began_{};     ///< the same when the list began
};

class Checker {
 public:
  explicit Checker(const Program& program) : program_(program), states_(program.buffers.size()) {
    for (std::size_t b = 0; b < states_.size(); ++b) {
      if (program.buffers[b].lifetime == Lifetime::run)
        states_[b] = {.live = true, .written = true};
    }
    for (const auto& op : program.variant(VariantKind::settle).operations) {
      for (const auto id : op.writes) states_.at(static_cast<std::size_t>(id.value)).shared = true;
    }
  }

  void run(VariantKind kind) {
    begin(kind);
    for (index_ = 0; index_ < static_cast<int>(variant_->operations.size()); ++index_) visit();
    for (std::size_t b = 0; b < states_.size(); ++b) {
      if (states_[b].live && program_.buffers[b].lifetime == Lifetime::micro) {
        report(b, "still lives at the end of its variant");
        states_[b].live = false;
      }
    }
  }

  void end_step() {
    for (std::size_t b = 0; b < states_.size(); ++b) {
      if (states_[b].live && program_.buffers[b].lifetime == Lifetime::step) {
        report(b, "still lives at the end of the step");
      }
    }
  }

  std::vector<std::string> take() && { return std::move(problems_); }

 private:
  void begin(VariantKind kind) {
    const auto* earlier = std::exchange(variant_, &program_.variant(kind));
    const bool joined = earlier == nullptr || !follows(earlier->kind, kind);
    before_ = joined ? nullptr : earlier;
    const Clock known = clocks_.begin(variant_->operations.size(), joined);
    const auto finished = [&](const Point& point) {
      return known.at(point.stream) >= point.sequence;
    };
    for (auto& state : states_) {
      std::erase_if(state.readers, finished);
      std::erase_if(state.writers, finished);
    }
  }

  void add_carried(const Operation& op, Clock& clock) {
    for (const auto& wait : op.carried) {
      const auto& list = program_.variant(wait.variant).operations;
      if (!follows(wait.variant, variant_->kind) || wait.index < 0 ||
          wait.index >= static_cast<int>(list.size())) {
        report(fmt::format("waits for {} operation {}, which is not before it",
                           to_string(wait.variant), wait.index));
      } else if (before_ != nullptr && before_->kind == wait.variant) {
        Clocks::merge(clock, clocks_.after_carried(wait.index));
      }
    }
  }

  void report(std::size_t b, const std::string& what) {
    const auto& buffer = program_.buffers[b];
    report(fmt::format("{}[{}] (buffer {}) {}", to_string(buffer.kind), buffer.index, b, what));
  }

  void report(const std::string& what) {
    constexpr std::size_t kMaxProblems = 50;
    if (problems_.size() >= kMaxProblems) return;
    const auto count = static_cast<int>(variant_->operations.size());
    const auto place =
        index_ < count
            ? fmt::format("operation {} '{}'", index_,
                          to_string(variant_->operations[static_cast<std::size_t>(index_)]))
            : std::string("end");
    problems_.push_back(
        fmt::format("[schedule.check] {} {}: {}", to_string(variant_->kind), place, what));
  }

  void visit() {
    const auto& op = variant_->operations[static_cast<std::size_t>(index_)];
    const auto stream = static_cast<std::size_t>(op.stream);
    Clock clock = clocks_.last_on(stream);
    for (const int wait : op.waits) {
      if (wait < 0 || wait >= index_) {
        report(fmt::format("waits for operation {}, which is not before it", wait));
        continue;
      }
      Clocks::merge(clock, clocks_.after(wait));
    }
    add_carried(op, clock);
    if (is_collective(op.kind) && op.stream != Stream::comm) {
      report("is a collective outside the communication stream; ranks could order it differently");
    }
    now_ = clocks_.next_on(stream);
    for (const auto id : op.starts) start(id, clock);
    for (const auto id : op.reads) read(id, clock);
    for (const auto id : op.writes) write(id, clock);
    for (const auto id : op.ends) end(id, clock);
    clocks_.finish(index_, now_, clock);
  }

  BufferState* find(BufferId id) {
    if (id.value < 0 || id.value >= static_cast<int>(states_.size())) {
      report(fmt::format("names buffer {}, which does not exist", id.value));
      return nullptr;
    }
    return &states_[static_cast<std::size_t>(id.value)];
  }

  [[nodiscard]] bool ordered(const std::vector<Point>& points, const Clock& clock) const {
    return std::all_of(points.begin(), points.end(), [&](const Point& point) {
      return point.stream == now_.stream || clock.at(point.stream) >= point.sequence;
    });
  }

  void start(BufferId id, const Clock& clock) {
    auto* state = find(id);
    if (state == nullptr) return;
    const auto b = static_cast<std::size_t>(id.value);
    const auto& mine = program_.buffers[b];
    if (state->live) report(b, "starts while it lives");
    if (!ordered(state->readers, clock) || !ordered(state->writers, clock)) {
      report(b, "starts again without waiting for its earlier users");
    }
    if (mine.offset.value < 0) report(b, "has no place in its arena");
    for (std::size_t o = 0; o < states_.size(); ++o) {
      const auto& other = program_.buffers[o];
      const bool overlaps = o != b && other.where == mine.where &&
                            other.offset.value < mine.offset.value + mine.bytes().value &&
                            mine.offset.value < other.offset.value + other.bytes().value;
      if (!overlaps) continue;
      if (states_[o].live) {
        report(b, fmt::format("is placed over live {}[{}]", to_string(other.kind), other.index));
      } else if (!ordered(states_[o].readers, clock) || !ordered(states_[o].writers, clock)) {
        report(b, fmt::format("takes the memory of {}[{}] without waiting for its users",
                              to_string(other.kind), other.index));
      }
    }
    *state = {.live = true, .shared = state->shared};
  }

  void read(BufferId id, const Clock& clock) {
    auto* state = find(id);
    if (state == nullptr) return;
    const auto b = static_cast<std::size_t>(id.value);
    if (!state->live)
      report(b, "is read while it does not live (not gathered, or after its release)");
    else if (!state->written)
      report(b, "is read before it is written");
    if (!ordered(state->writers, clock)) report(b, "is read without waiting for its writer");
    if (state->stale && computes()) report(b, "is read before it is published");
    state->readers.push_back(now_);
  }

  void write(BufferId id, const Clock& clock) {
    auto* state = find(id);
    if (state == nullptr) return;
    const auto b = static_cast<std::size_t>(id.value);
    if (!state->live) report(b, "is written while it does not live");
    if (!ordered(state->writers, clock) || !ordered(state->readers, clock)) {
      report(b, "is written without waiting for its earlier users");
    }
    state->written = true;
    const auto kind = variant_->operations[static_cast<std::size_t>(index_)].kind;
    if (kind == OpKind::publish) state->stale = false;
    if (kind == OpKind::step || kind == OpKind::upload) state->stale = state->shared;
    state->writers = {now_};
    state->readers.clear();
  }

  [[nodiscard]] bool computes() const {
    const auto kind = variant_->operations[static_cast<std::size_t>(index_)].kind;
    return kind == OpKind::forward || kind == OpKind::recompute || kind == OpKind::backward;
  }

  void end(BufferId id, const Clock& clock) {
    auto* state = find(id);
    if (state == nullptr) return;
    const auto b = static_cast<std::size_t>(id.value);
    if (!state->live) report(b, "ends while it does not live");
    if (!ordered(state->writers, clock) || !ordered(state->readers, clock)) {
      report(b, "ends without waiting for its users");
    }
    state->live = false;
    state->readers.push_back(now_);
  }

  const Program& program_;
  const Variant* variant_ = nullptr;
  const Variant* before_ = nullptr;  ///< the list before, where it may still run
  int index_ = 0;
  Point now_;
  std::vector<BufferState> states_;
  Clocks clocks_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> check(const Program& program, int micro_steps) {
  Checker checker(program);
  const int runs = std::min(micro_steps, 4);  // a third middle would find the state of the second
  constexpr int kSteps = 3;
  for (int step = 0; step < kSteps; ++step) {
    for (int m = 0; m < runs; ++m) {
      const bool first = m == 0;
      const bool last = m == runs - 1;
      checker.run(first && last ? VariantKind::only
                  : first       ? VariantKind::first
                  : last        ? VariantKind::last
                                : VariantKind::middle);
    }
    checker.run(VariantKind::boundary);
    checker.end_step();
    if (step == 0) continue;  // the second step follows the first one directly
    checker.run(VariantKind::settle);
    checker.run(VariantKind::evaluation);
  }
  return std::move(checker).take();
}

}  // namespace zt::schedule
