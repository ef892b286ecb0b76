#include "plan/step_clock.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "base/error.h"

namespace zt::plan {
namespace {

using schedule::Stream;

constexpr auto kCompute = static_cast<std::size_t>(Stream::compute);
constexpr auto kComm = static_cast<std::size_t>(Stream::comm);

/// One stream: its operations in order, and what is left of the running one.
struct Lane {
  std::vector<std::size_t> order;
  std::size_t next = 0;
  bool running = false;
  double left = 0;
};

/// Lists of operations behind each other.
class Clock {
 public:
  Clock(const std::vector<const schedule::Variant*>& lists, const OperationSeconds& seconds_of,
        const Contention& contention)
      : contention_(contention) {
    for (std::size_t k = 0; k < lists.size(); ++k) {
      const auto& operations = lists[k]->operations;
      lists_.push_back({lists[k]->kind, items_.size(), operations.size()});
      for (const auto& op : operations) {
        const auto stream = static_cast<std::size_t>(op.stream);
        lanes_.at(stream).order.push_back(items_.size());
        items_.push_back({&op, k, seconds_of(op)});
        if (!schedule::runs_on(op.stream)) ++lists_[k].joins_left;
        if (stream == kCompute) lists_[k].compute += items_.back().seconds;
      }
    }
  }

  void run() {
    while (true) {
      start_what_can();
      const double until = next_end();
      if (until == std::numeric_limits<double>::infinity()) break;
      pass(until);
    }
    for (const auto& lane : lanes_) {
      ZT_ASSERT(lane.next == lane.order.size(), "every operation of a checked list can start");
    }
  }

  /// When compute and communication of a list and of those before it were done.
  [[nodiscard]] double joined(std::size_t list) const {
    double latest = 0;
    for (std::size_t k = 0; k <= list; ++k) latest = std::max(latest, lists_[k].joined);
    return latest;
  }
  [[nodiscard]] double compute(std::size_t list) const { return lists_[list].compute; }
  [[nodiscard]] double slowed(std::size_t list) const { return lists_[list].slowed; }

 private:
  struct Item {
    const schedule::Operation* op;
    std::size_t list;
    double seconds;
    bool done = false;
  };
  struct List {
    schedule::VariantKind kind;
    std::size_t begin;           ///< its first item
    std::size_t left;            ///< operations that are not done
    std::size_t joins_left = 0;  ///< those of compute and communication
    double compute = 0, slowed = 0, joined = 0;
  };

  /// Lists begin when compute and communication of the one before are done, and all that may not go
  /// on beside them.
  [[nodiscard]] bool has_begun(std::size_t list) {
    if (list == 0) return true;
    while (oldest_ < lists_.size() && lists_[oldest_].left == 0) ++oldest_;
    const auto& before = lists_[list - 1];
    const bool beside = schedule::follows(before.kind, lists_[list].kind);
    return before.joins_left == 0 && oldest_ + (beside ? 1 : 0) >= list;
  }

  [[nodiscard]] bool ready(std::size_t index) {
    const auto& item = items_[index];
    if (!has_begun(item.list)) return false;
    const auto done = [&](std::size_t list, int at) {
      return items_[lists_[list].begin + static_cast<std::size_t>(at)].done;
    };
    const auto& waits = item.op->waits;
    const auto& carried = item.op->carried;
    return std::all_of(waits.begin(), waits.end(), [&](int at) { return done(item.list, at); }) &&
           (item.list == 0 || std::all_of(carried.begin(), carried.end(), [&](const auto& wait) {
              return wait.variant != lists_[item.list - 1].kind || done(item.list - 1, wait.index);
            }));
  }

  void end(std::size_t index) {
    auto& item = items_[index];
    auto& list = lists_[item.list];
    item.done = true;
    --list.left;
    if (schedule::runs_on(item.op->stream)) return;
    --list.joins_left;
    list.joined = now_;
  }

  /// Operations that take no time end at once, and others may start by that.
  void start_what_can() {
    bool changed = true;
    while (changed) {
      changed = false;
      for (auto& lane : lanes_) {
        if (lane.running || lane.next == lane.order.size() || !ready(lane.order[lane.next]))
          continue;
        const auto index = lane.order[lane.next];
        if (items_[index].seconds > 0) {
          lane.running = true;
          lane.left = items_[index].seconds;
        } else {
          end(index);
          ++lane.next;
        }
        changed = true;
      }
    }
  }

  /// Work done per second now.
  [[nodiscard]] double rate(std::size_t stream) const {
    constexpr double kLeast = 0.02;
    const bool both = lanes_[kCompute].running && lanes_[kComm].running;
    if (!both || (stream != kCompute && stream != kComm)) return 1;
    return std::max(
        kLeast, stream == kCompute ? 1 - contention_.compute_lost : 1 / contention_.link_factor);
  }

  [[nodiscard]] double next_end() const {
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t s = 0; s < lanes_.size(); ++s) {
      if (lanes_[s].running) least = std::min(least, lanes_[s].left / rate(s));
    }
    return least;
  }

  void pass(double seconds) {
    constexpr double kRounding = 1e-15;
    std::array<double, schedule::kNumStreams> rates{};
    for (std::size_t s = 0; s < lanes_.size(); ++s) rates.at(s) = rate(s);
    const auto& computing = lanes_[kCompute];
    if (computing.running) {
      lists_[items_[computing.order[computing.next]].list].slowed +=
          seconds * (1 - rates[kCompute]);
    }
    now_ += seconds;
    for (std::size_t s = 0; s < lanes_.size(); ++s) {
      auto& lane = lanes_[s];
      if (!lane.running) continue;
      lane.left -= seconds * rates.at(s);
      if (lane.left > kRounding) continue;
      lane.running = false;
      end(lane.order[lane.next++]);
    }
  }

  Contention contention_;
  std::vector<Item> items_;
  std::vector<List> lists_;
  std::size_t oldest_ = 0;  ///< list that is not done
  std::array<Lane, schedule::kNumStreams> lanes_;
  double now_ = 0;
};

}  // namespace

StepLength walk_step(const schedule::Program& program, int micro_steps,
                     const OperationSeconds& seconds_of, const Contention& contention) {
  using enum schedule::VariantKind;
  constexpr int kMiddles = 2;  // walked; the others take what the last of them takes
  const int middles = std::max(0, micro_steps - 2);
  std::vector<const schedule::Variant*> lists;
  std::size_t last_middle = 0;
  for (int step = 0; step < 2; ++step) {  // the first one has nothing beside it
    if (micro_steps == 1) {
      lists.push_back(&program.variant(only));
    } else {
      lists.push_back(&program.variant(first));
      for (int m = 0; m < std::min(kMiddles, middles); ++m) {
        last_middle = lists.size();
        lists.push_back(&program.variant(middle));
      }
      lists.push_back(&program.variant(last));
    }
    lists.push_back(&program.variant(boundary));
  }
  Clock clock(lists, seconds_of, contention);
  clock.run();
  const auto before = lists.size() / 2 - 1;
  StepLength step{clock.joined(lists.size() - 1) - clock.joined(before), 0, 0};
  for (auto k = before + 1; k < lists.size(); ++k) {
    step.compute += clock.compute(k);
    step.slowed += clock.slowed(k);
  }
  if (middles > kMiddles) {
    const double more = middles - kMiddles;
    step.length += more * (clock.joined(last_middle) - clock.joined(last_middle - 1));
    step.compute += more * clock.compute(last_middle);
    step.slowed += more * clock.slowed(last_middle);
  }
  return step;
}

}  // namespace zt::plan
