#include "comm/hang_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace zt::comm {
namespace {

using std::chrono::milliseconds;

/// Own stillness after which the others are looked at.
constexpr milliseconds kMaxSuspicion{5'000};

double seconds_between(HangWatch::Clock::time_point from, HangWatch::Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Phases that end when they end: they have waits and reports of their own.
bool is_unlimited(Activity activity) {
  return activity == Activity::starting || activity == Activity::preparing_data ||
         activity == Activity::building || activity == Activity::finishing;
}

int times_waited_for(const std::vector<RankView>& ranks, int rank) {
  return static_cast<int>(std::count_if(ranks.begin(), ranks.end(), [rank](const RankView& view) {
    return view.rank != rank && view.position.waits_for == rank;
  }));
}

}  // namespace

std::optional<int> find_culprit(const std::vector<RankView>& ranks) {
  if (ranks.size() < 2) return std::nullopt;
  // Smallest first: place of the driving thread, collectives begun, waits for nobody, waited for,
  // inside of work of the host or of a disk.
  const auto order = [&ranks](const RankView& view) {
    return std::make_tuple(
        view.position.count, view.position.collectives, view.position.waits_for >= 0 ? 1 : 0,
        -times_waited_for(ranks, view.rank), view.position.host_work >= 0 ? 0 : 1);
  };
  std::vector<RankView> sorted = ranks;
  std::sort(sorted.begin(), sorted.end(),
            [&](const RankView& a, const RankView& b) { return order(a) < order(b); });
  if (order(sorted[0]) == order(sorted[1])) return std::nullopt;
  return sorted[0].rank;
}

std::string format_table(const std::vector<RankView>& ranks, std::optional<int> culprit,
                         const OperationNames& names) {
  std::string text = "rank | stands at | still for s | inside of";
  for (const RankView& view : ranks) {
    std::string wait = describe_wait(view.position, names);
    if (culprit == view.rank) {
      wait = wait.empty() ? "(the others wait for it)" : wait + " (the others wait for it)";
    } else if (culprit && view.position.waits_for < 0) {
      wait += fmt::format("{}waits for rank {}", wait.empty() ? "" : "; ", *culprit);
    }
    text += fmt::format("\n{:4} | {} | {:.1f} | {}", view.rank, describe(view.position, names),
                        view.seconds, wait);
  }
  return text;
}

bool HangWatch::suspects(const Position& own, Clock::time_point now) {
  if (!own_ || own.moved_since(own_->position)) {
    own_ = Seen{own, now};
    others_.clear();
  }
  own_->position = own;
  return limit_.count() > 0 && now - own_->moved > std::min(limit_ / 8, kMaxSuspicion);
}

void HangWatch::see(int rank, const Position& position, Clock::time_point now) {
  const auto [entry, is_new] = others_.try_emplace(rank, Seen{position, now});
  if (!is_new && position.moved_since(entry->second.position)) entry->second.moved = now;
  entry->second.position = position;
}

bool HangWatch::hangs(Clock::time_point now) const {
  if (limit_.count() <= 0 || !own_ || others_.empty()) return false;
  milliseconds limit = limit_;
  const auto raise = [&](const Position& position) {
    if (is_unlimited(position.activity)) limit = milliseconds::max();
    if (position.activity == Activity::saving) limit = std::max(limit, outer_);
  };
  raise(own_->position);
  for (const auto& [rank, seen] : others_) raise(seen.position);
  const auto all_still_for = [&](milliseconds time) {
    return now - own_->moved >= time &&
           std::all_of(others_.begin(), others_.end(),
                       [&](const auto& entry) { return now - entry.second.moved >= time; });
  };
  if (limit == milliseconds::max() || !all_still_for(limit)) return false;
  // Side by side in one long operation is no sign of a hang.
  return find_culprit(views(now)).has_value() || all_still_for(std::max(limit, outer_));
}

std::vector<RankView> HangWatch::views(Clock::time_point now) const {
  std::vector<RankView> all;
  for (const auto& [rank, seen] : others_) {
    all.push_back({rank, seen.position, seconds_between(seen.moved, now)});
  }
  return all;
}

}  // namespace zt::comm
