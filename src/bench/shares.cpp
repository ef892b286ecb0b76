#include "bench/shares.h"

#include <algorithm>

namespace zt::bench {
namespace {

/// Length of the union of intervals, which are sorted by their begin.
template <typename Keep>
double covered(const std::vector<Interval>& intervals, Keep keep) {
  double sum = 0, end = -1;
  for (const auto& interval : intervals) {
    if (!keep(interval)) continue;
    sum += std::max(0.0, interval.end - std::max(interval.begin, end));
    end = std::max(end, interval.end);
  }
  return sum;
}

}  // namespace

Busy busy_of(std::vector<Interval> intervals) {
  using schedule::Stream;
  std::sort(intervals.begin(), intervals.end(),
            [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  Busy busy;
  busy.compute = covered(intervals, [](const auto& i) { return i.stream == Stream::compute; });
  busy.communication = covered(intervals, [](const auto& i) { return i.stream == Stream::comm; });
  busy.exposed = covered(intervals, [](const auto&) { return true; }) - busy.compute;
  for (const auto& interval : intervals) busy.length = std::max(busy.length, interval.end);
  return busy;
}

Shares shares_of(const Busy& busy, double gemm, double attention, double step) {
  // The measured pass is a little slower than a step as it is: parts are scaled when they exceed
  // it.
  const double measured = busy.compute + busy.exposed;
  const double whole = std::max(step, measured);
  Shares shares;
  shares.gemm = gemm / whole;
  shares.attention = attention / whole;
  shares.other = std::max(0.0, busy.compute - gemm - attention) / whole;
  shares.exposed = busy.exposed / whole;
  shares.idle = std::max(0.0, 1 - shares.gemm - shares.attention - shares.other - shares.exposed);
  return shares;
}

}  // namespace zt::bench
