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

class Clock {
 public:
  Clock(const schedule::Variant& variant,
        const std::function<double(const schedule::Operation&)>& seconds_of,
        const Contention& contention)
      : operations_(variant.operations), contention_(contention), done_(operations_.size(), false) {
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      const auto stream = static_cast<std::size_t>(operations_[i].stream);
      lanes_.at(stream).order.push_back(i);
      seconds_.push_back(seconds_of(operations_[i]));
      if (stream == kCompute) time_.compute += seconds_.back();
    }
  }

  ListTime run() {
    while (true) {
      start_what_can();
      const double until = next_end();
      if (until == std::numeric_limits<double>::infinity()) break;
      pass(until);
    }
    for (const auto& lane : lanes_) {
      ZT_ASSERT(lane.next == lane.order.size(), "every operation of a checked list can start");
    }
    return time_;
  }

 private:
  [[nodiscard]] bool ready(std::size_t index) const {
    const auto& waits = operations_[index].waits;
    return std::all_of(waits.begin(), waits.end(),
                       [&](int wait) { return done_[static_cast<std::size_t>(wait)]; });
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
        if (seconds_[index] > 0) {
          lane.running = true;
          lane.left = seconds_[index];
        } else {
          done_[index] = true;
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
    if (lanes_[kCompute].running) time_.slowed += seconds * (1 - rates[kCompute]);
    time_.length += seconds;
    for (std::size_t s = 0; s < lanes_.size(); ++s) {
      auto& lane = lanes_[s];
      if (!lane.running) continue;
      lane.left -= seconds * rates.at(s);
      if (lane.left > kRounding) continue;
      lane.running = false;
      done_[lane.order[lane.next++]] = true;
    }
  }

  const std::vector<schedule::Operation>& operations_;
  const Contention& contention_;
  std::vector<char> done_;
  std::vector<double> seconds_;
  std::array<Lane, schedule::kNumStreams> lanes_;
  ListTime time_;
};

}  // namespace

ListTime walk_clock(const schedule::Variant& variant,
                    const std::function<double(const schedule::Operation&)>& seconds_of,
                    const Contention& contention) {
  return Clock(variant, seconds_of, contention).run();
}

}  // namespace zt::plan
