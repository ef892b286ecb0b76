#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comm/position.h"

namespace zt::comm {

/// What is known of one rank.
struct RankView {
  int rank = 0;
  Position position;
  double seconds = 0;  ///< since it was last seen to move
};

/// The rank that the others wait for: behind all others in the program; of several at the same
/// place the one that is waited for most and waits for nobody. Nothing when no rank is behind.
std::optional<int> find_culprit(const std::vector<RankView>& ranks);

/// One line per rank: rank | step | operation | still for | inside of.
std::string format_table(const std::vector<RankView>& ranks, std::optional<int> culprit,
                         const OperationNames& names);

/// Decides from positions over time whether a run still makes progress. Looks at the others only
/// once the own rank stands still, as long as any rank moves the run is fine. Thread: one.
class HangWatch {
 public:
  using Clock = std::chrono::steady_clock;
  /// `limit` zero: never reports. `outer`: for activities without steps of their own (saving), and
  /// when no rank is behind.
  HangWatch(std::chrono::milliseconds limit, std::chrono::milliseconds outer)
      : limit_(limit), outer_(outer) {}

  /// Takes the own position. True when the positions of the others are wanted.
  bool suspects(const Position& own, Clock::time_point now);
  void see(int rank, const Position& position, Clock::time_point now);
  /// True when every rank that was seen has stood still for the limit, or, with no rank behind the
  /// others, for the outer limit.
  [[nodiscard]] bool hangs(Clock::time_point now) const;
  /// All ranks seen since the own rank stood still.
  [[nodiscard]] std::vector<RankView> views(Clock::time_point now) const;
  [[nodiscard]] std::chrono::milliseconds limit() const { return limit_; }

 private:
  struct Seen {
    Position position;
    Clock::time_point moved;
  };
  std::chrono::milliseconds limit_, outer_;
  std::optional<Seen> own_;
  std::map<int, Seen> others_;
};

}  // namespace zt::comm
