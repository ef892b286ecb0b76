#include "comm/hang_watch.h"

#include <gtest/gtest.h>

#include <thread>

#include "comm/inproc/memory_store.h"
#include "comm/monitor.h"
#include "comm/process_identity.h"

namespace zt::comm {
namespace {

using std::chrono::milliseconds;
using Clock = HangWatch::Clock;

RankView at(int rank, std::uint64_t count, std::uint64_t collectives = 0, int waits_for = -1) {
  RankView view;
  view.rank = rank;
  view.position.count = count;
  view.position.collectives = collectives;
  view.position.waits_for = waits_for;
  view.position.activity = Activity::schedule;
  return view;
}

TEST(FindCulpritTest, RankBehindInTheProgramIsTheCulprit) {
  EXPECT_EQ(find_culprit({at(0, 41), at(1, 40), at(2, 43)}), 1);
}

TEST(FindCulpritTest, AtTheSamePlaceTheRankWithFewerCollectivesIsTheCulprit) {
  EXPECT_EQ(find_culprit({at(0, 41, 7), at(1, 41, 7), at(2, 41, 6)}), 2);
}

TEST(FindCulpritTest, InTheSameCollectiveTheRankThatIsWaitedForIsTheCulprit) {
  EXPECT_EQ(find_culprit({at(0, 41, 7, 1), at(1, 41, 7), at(2, 41, 7, 1)}), 1);
  EXPECT_EQ(find_culprit({at(0, 41, 7, 1), at(1, 41, 7, 2), at(2, 41, 7, 1)}), 1);
}

TEST(FindCulpritTest, NoRankIsBehindWhenAllAreEqual) {
  EXPECT_EQ(find_culprit({at(0, 41, 7), at(1, 41, 7)}), std::nullopt);
  EXPECT_EQ(find_culprit({at(0, 41)}), std::nullopt);
}

/// A watch over two ranks with a clock of its own.
class HangWatchTest : public ::testing::Test {
 protected:
  void look(const Position& own, const Position& other) {
    if (!watch_.suspects(own, now_)) return;
    watch_.see(0, own, now_);
    watch_.see(1, other, now_);
  }
  /// Looks ten times a second for `seconds`.
  void wait(double seconds, const Position& own, const Position& other) {
    for (int i = 0; i < static_cast<int>(seconds * 10); ++i) {
      now_ += milliseconds{100};
      look(own, other);
    }
  }

  HangWatch watch_{milliseconds{8'000}, milliseconds{60'000}};
  Clock::time_point now_;
  Position own_ = at(0, 10).position, other_ = at(1, 9).position;
};

TEST_F(HangWatchTest, ReportsOnceAllRanksHaveStoodStillForTheLimit) {
  wait(8.0, own_, other_);
  EXPECT_FALSE(watch_.hangs(now_));
  wait(2.0, own_, other_);
  EXPECT_TRUE(watch_.hangs(now_));
  EXPECT_EQ(find_culprit(watch_.views(now_)), 1);
}

TEST_F(HangWatchTest, RanksSideBySideInOneOperationHaveTheOuterLimit) {
  other_.count = own_.count;
  wait(59, own_, other_);
  EXPECT_FALSE(watch_.hangs(now_));
  wait(3, own_, other_);
  EXPECT_TRUE(watch_.hangs(now_));
}

TEST_F(HangWatchTest, RankThatMovesNowAndThenKeepsTheRunAlive) {
  for (int i = 0; i < 10; ++i) {
    wait(7.0, own_, other_);
    EXPECT_FALSE(watch_.hangs(now_)) << i;
    ++other_.count;
  }
}

TEST_F(HangWatchTest, DeviceThatMovesKeepsTheRunAlive) {
  for (int i = 0; i < 10; ++i) {
    wait(7.0, own_, other_);
    EXPECT_FALSE(watch_.hangs(now_)) << i;
    i % 2 == 0 ? ++other_.device_collective : ++own_.device_marks;
  }
}

TEST_F(HangWatchTest, ADiskThatMovesKeepsTheRunAlive) {
  other_.host_work = 12;
  for (int i = 0; i < 10; ++i) {
    wait(7.0, own_, other_);
    EXPECT_FALSE(watch_.hangs(now_)) << i;
    ++other_.host_marks;
  }
}

TEST_F(HangWatchTest, ADiskThatIsStuckIsReportedAndNamed) {
  other_.count = own_.count;
  other_.host_work = 12;
  wait(10.0, own_, other_);
  EXPECT_TRUE(watch_.hangs(now_));
  const auto culprit = find_culprit(watch_.views(now_));
  EXPECT_EQ(culprit, 1);
  const auto table = format_table(watch_.views(now_), culprit, [](std::int32_t operation) {
    return operation == 12 ? "load_states u3 (boundary, 4 of 9; disk of /local/nvme)" : "forward";
  });
  EXPECT_NE(table.find("host at load_states u3 (boundary, 4 of 9; disk of /local/nvme)"),
            std::string::npos)
      << table;
}

TEST_F(HangWatchTest, PreparationIsUnlimitedAndSavingHasTheOuterLimit) {
  other_.activity = Activity::preparing_data;
  wait(100, own_, other_);
  EXPECT_FALSE(watch_.hangs(now_));
  other_.activity = Activity::saving;
  ++other_.count;
  wait(59, own_, other_);
  EXPECT_FALSE(watch_.hangs(now_));
  wait(3, own_, other_);
  EXPECT_TRUE(watch_.hangs(now_));
}

TEST_F(HangWatchTest, LimitZeroNeverReports) {
  HangWatch off(milliseconds{0}, milliseconds{1});
  EXPECT_FALSE(off.suspects(own_, now_));
  EXPECT_FALSE(off.suspects(own_, now_ + std::chrono::hours(10)));
  EXPECT_FALSE(off.hangs(now_ + std::chrono::hours(10)));
}

TEST(PositionTest, TextOfThePositionReadsBack) {
  Position position = at(0, 77, 5, 3).position;
  position.step = 12;
  position.micro_step = 1;
  position.operation = 1'048'600;
  position.collective = 4;
  position.device_collective = 9;
  position.device_marks = 11;
  position.host_marks = 13;
  position.host_work = 17;
  const auto back = parse_position(serialise(position));
  ASSERT_TRUE(back);
  EXPECT_EQ(serialise(*back), serialise(position));
  EXPECT_FALSE(back->moved_since(position));
  EXPECT_EQ(parse_position("1 2 three"), std::nullopt);
}

TEST(PositionTest, ADiskThatWorksIsShownBeforeTheHostsOptimizer) {
  using Lane = PositionWriter::HostLane;
  PositionWriter writer;
  const auto before = writer.read();
  writer.begin_host_work(Lane::optimizer, 5);
  EXPECT_EQ(writer.read().host_work, 5);
  writer.begin_host_work(Lane::disk_write, 7);
  EXPECT_EQ(writer.read().host_work, 7);
  EXPECT_TRUE(writer.read().moved_since(before));
  const auto waiting = writer.read();
  EXPECT_FALSE(writer.read().moved_since(waiting));
  writer.mark_host();  // a block is done
  EXPECT_TRUE(writer.read().moved_since(waiting));
  writer.end_host_work(Lane::disk_write);
  EXPECT_EQ(writer.read().host_work, 5);
  writer.end_host_work(Lane::optimizer);
  EXPECT_EQ(writer.read().host_work, -1);
}

TEST(PositionTest, PageIsReadThroughTheProcessIdentityAndOutlivesItsWriter) {
  auto writer = std::make_unique<PositionWriter>();
  ASSERT_GE(writer->fd(), 0);
  writer->begin(Activity::reading_data, 5);
  const auto reader = open_position(process_identity() + " " + std::to_string(writer->fd()));
  ASSERT_NE(reader, nullptr);
  writer->begin_micro_step(2);
  writer->begin_operation(9);
  const auto names = [](std::int32_t operation) { return "op" + std::to_string(operation); };
  EXPECT_EQ(describe(reader->read(), names), "step 5, micro-step 3, op9");
  writer.reset();
  EXPECT_EQ(reader->read().count, 2U);
  EXPECT_EQ(open_position(process_identity()), nullptr);
  EXPECT_EQ(open_position("elsewhere 1 2 3"), nullptr);
}

TEST(MonitorTest, RanksThatStandStillAreEndedAndTheOneBehindIsNamed) {
  const auto store = make_memory_store();
  const auto options = [](int rank) {
    MonitorOptions result{.poll = milliseconds(10)};
    result.positions.writer = std::make_shared<PositionWriter>();
    result.positions.hang_timeout = milliseconds(200);
    result.positions.first_local_rank = rank;  // the other one is read from the store
    return result;
  };
  const auto first = options(0), second = options(1);
  first.positions.writer->begin(Activity::reading_data, 3);
  second.positions.writer->begin(Activity::reading_data, 3);
  first.positions.writer->begin_operation(7);
  Monitor one(store->clone(), 0, 2, -1, first), two(store->clone(), 1, 2, -1, second);
  for (const auto* monitor : {&one, &two}) {
    const auto failure = monitor->wait_first_failure(std::chrono::seconds(5));
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->rank, 1);
    EXPECT_NE(failure->message.find("step 3, reading data"), std::string::npos) << failure->message;
  }
}

TEST(MonitorTest, LastResortIsCalledForARankThatDoesNotComeBack) {
  const auto store = make_memory_store();
  std::atomic<bool> called{false};
  MonitorOptions options{.poll = milliseconds(10)};
  options.exit_grace = milliseconds(50);
  options.last_resort = [&called](const std::string& text) {
    EXPECT_NE(text.find("rank 0 failed first: it broke"), std::string::npos) << text;
    called = true;
  };
  Monitor monitor(store->clone(), 0, 1, -1, options);
  (void)monitor.report("it broke");
  for (int i = 0; i < 500 && !called; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_TRUE(called);
}

}  // namespace
}  // namespace zt::comm
