#include "bench/stopwatch.h"

#include <algorithm>
#include <chrono>
#include <memory>

namespace zt::bench {
namespace {

constexpr int kWarmups = 3;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename Run>
double seconds_of(memory::Queues& queues, int repeats, Run run) {
  run();
  queues.synchronize();
  const double begin = now_seconds();
  for (int i = 0; i < repeats; ++i) run();
  queues.synchronize();
  return (now_seconds() - begin) / repeats;
}

}  // namespace

double stream_seconds(memory::Queues& queues, const std::function<void(const Launch&)>& call,
                      int repeats) {
  const memory::Queues::Work work = call;
  const auto submit = [&] {
    queues.begin(1);
    queues.submit(0, 0, {}, false, work);
  };
  for (int i = 0; i < kWarmups; ++i) submit();
  return seconds_of(queues, repeats, submit);
}

namespace {

/// Captures the call after it has run.
std::unique_ptr<memory::Graph> captured(memory::Queues& queues,
                                        const std::function<void(const Launch&)>& call) {
  const memory::Queues::Work work = call;
  const auto submit = [&] {
    queues.begin(1);
    queues.submit(0, 0, {}, false, work);
  };
  for (int i = 0; i < kWarmups; ++i) submit();
  queues.synchronize();
  return queues.capture(1, submit);
}

}  // namespace

double graph_seconds(memory::Queues& queues, const std::function<void(const Launch&)>& call,
                     int repeats) {
  const auto graph = captured(queues, call);
  return seconds_of(queues, repeats, [&] { queues.replay(*graph); });
}

double steady_graph_seconds(memory::Queues& queues,
                            const std::function<void(const Launch&)>& call) {
  constexpr double kLong = 20e-3;
  constexpr int kFew = 3, kMost = 2000;
  const auto graph = captured(queues, call);
  const auto replay = [&] { queues.replay(*graph); };
  const double once = seconds_of(queues, kFew, replay);
  const int repeats = std::clamp(static_cast<int>(kLong / once), kFew, kMost);
  (void)seconds_of(queues, repeats, replay);
  return seconds_of(queues, repeats, replay);
}

}  // namespace zt::bench
