#include "bench/stopwatch.h"

#include <chrono>

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

double graph_seconds(memory::Queues& queues, const std::function<void(const Launch&)>& call,
                     int repeats) {
  const memory::Queues::Work work = call;
  const auto submit = [&] {
    queues.begin(1);
    queues.submit(0, 0, {}, false, work);
  };
  for (int i = 0; i < kWarmups; ++i) submit();
  queues.synchronize();
  const auto graph = queues.capture(1, submit);
  return seconds_of(queues, repeats, [&] { queues.replay(*graph); });
}

}  // namespace zt::bench
