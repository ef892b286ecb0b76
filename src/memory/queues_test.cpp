#include "memory/queues.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/error.h"

namespace zt::memory {
namespace {

TEST(CpuQueuesTest, AnOperationRunsAfterThoseItWaitsFor) {
  const auto queues = make_cpu_queues();
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> clock{0};
    std::array<int, 4> when{};
    std::array<Queues::Work, 4> work;
    for (std::size_t i = 0; i < work.size(); ++i) {
      work.at(i) = [&when, &clock, i, round](const Launch&) {
        if (i == 0 && round % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        when.at(i) = ++clock;
      };
    }
    queues->begin(4);
    const std::array<int, 1> zero{0};
    const std::array<int, 1> one{1};
    const std::array<int, 2> both{1, 2};
    queues->submit(1, 0, {}, true, work[0]);
    queues->submit(2, 1, {zero, {}}, true, work[1]);
    queues->submit(1, 2, {one, {}}, true, work[2]);
    queues->submit(0, 3, {both, {}}, false, work[3]);
    queues->synchronize();
    EXPECT_EQ(when, (std::array<int, 4>{1, 2, 3, 4}));
  }
}

TEST(CpuQueuesTest, AListOverlapsTheHostsWorkOfTheListBeforeAndWaitsForWhatItNames) {
  const auto queues = make_cpu_queues();
  std::atomic<bool> slow_done{false}, compute_ran_before{false};
  std::atomic<int> fast{0}, seen{-1};
  const Queues::Work quick = [&](const Launch&) { fast = 1; };
  const Queues::Work slow = [&](const Launch&) {
    while (!compute_ran_before) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    slow_done = true;
  };
  const Queues::Work compute = [&](const Launch&) {
    seen = fast.load();
    compute_ran_before = !slow_done;
  };
  const std::array<int, 1> first{0}, second{1};
  queues->begin(2);
  queues->submit(2, 0, {}, true, quick);
  queues->submit(2, 1, {}, true, slow);
  queues->begin(2, true);
  queues->submit(0, 0, {{}, first}, false, compute);  // would hang if it waited for the slow one
  bool copied_after = false;
  const Queues::Work copy = [&](const Launch&) { copied_after = slow_done; };
  queues->submit(4, 1, {{}, second}, false, copy);
  queues->synchronize();
  EXPECT_EQ(seen, 1);
  EXPECT_TRUE(compute_ran_before);
  EXPECT_TRUE(copied_after);
}

TEST(CpuQueuesTest, AFailureOnAWorkerReachesTheCallerAndNothingHangs) {
  const auto queues = make_cpu_queues();
  queues->begin(3);
  const Queues::Work fail = [](const Launch&) { throw CommError("peer 3 is gone"); };
  const Queues::Work nothing = [](const Launch&) {};
  const std::array<int, 1> zero{0};
  const std::array<int, 1> one{1};
  queues->submit(1, 0, {}, true, fail);
  EXPECT_THROW(
      {
        queues->submit(2, 1, {zero, {}}, true, nothing);
        queues->submit(0, 2, {one, {}}, false, nothing);
      },
      CommError);
  EXPECT_THROW(queues->synchronize(), CommError);
}

TEST(CpuQueuesTest, AfterAFailureOnTheCallersThreadEveryCallThrowsItAndNothingHangs) {
  const auto queues = make_cpu_queues();
  queues->begin(2);
  const Queues::Work fail = [](const Launch&) { throw ConfigError("a layer of the user"); };
  EXPECT_THROW(queues->submit(0, 0, {}, false, fail), ConfigError);
  EXPECT_THROW(queues->synchronize(), ConfigError);
  EXPECT_THROW(queues->begin(2), ConfigError);
  EXPECT_THROW(queues->synchronize_device(), ConfigError);
}

}  // namespace
}  // namespace zt::memory
