#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "comm/failure_board.h"
#include "comm/inproc/memory_store.h"
#include "comm/monitor.h"
#include "comm/process_identity.h"
#include "testing/collective_checks.h"
#include "testing/fault_communicator.h"
#include "testing/rank_launcher.h"

namespace zt::comm {
namespace {

using std::chrono::milliseconds;

class InprocWorlds : public ::testing::TestWithParam<int> {};

TEST_P(InprocWorlds, EveryCollectiveMovesEveryElement) {
  testing::run_threads(GetParam(), testing::check_collectives);
}

INSTANTIATE_TEST_SUITE_P(Worlds, InprocWorlds, ::testing::Values(1, 2, 3, 4));

TEST(InprocTest, FailedRankAbortsTheOthersWithItsReason) {
  const auto results = testing::run_threads(
      3,
      [](Communicator& comm) {
        const auto faulty = testing::inject(comm, {.at_call = comm.rank() == 1 ? 2 : -1});
        for (int i = 0; i < 5; ++i) {
          faulty->barrier();
        }
      },
      false);
  for (const auto& result : results) {
    EXPECT_FALSE(result.succeeded);
    EXPECT_NE(result.message.find("injected failure (rank 1)"), std::string::npos)
        << result.message;
  }
}

TEST(InprocTest, MissingRankIsNamedAfterTheTimeout) {
  const auto results = testing::run_threads(
      3,
      [](Communicator& comm) {
        const auto faulty = testing::inject(
            comm, {.kind = testing::Fault::Kind::drop, .at_call = comm.rank() == 2 ? 1 : -1});
        faulty->barrier();
        faulty->barrier();
      },
      false, milliseconds(200));
  EXPECT_TRUE(results[2].succeeded);
  for (const std::size_t rank : {0U, 1U}) {
    EXPECT_NE(results[rank].message.find("rank(s) 2 did not arrive at barrier"), std::string::npos)
        << results[rank].message;
  }
}

TEST(InprocTest, DelayedRankIsWaitedFor) {
  testing::run_threads(2, [](Communicator& comm) {
    const auto faulty = testing::inject(
        comm, {.kind = testing::Fault::Kind::delay, .at_call = comm.rank() == 1 ? 0 : -1});
    testing::check_collectives(*faulty);
  });
}

TEST(InprocTest, DifferentOperationsAreReported) {
  const auto results = testing::run_threads(
      2,
      [](Communicator& comm) {
        float value = 0;
        const View view{&value, 1, DType::f32};
        comm.rank() == 0 ? comm.barrier() : comm.broadcast(view, 0, {});
      },
      false);
  EXPECT_NE(results[0].message.find("ranks call different operations"), std::string::npos)
      << results[0].message;
}

TEST(StoreTest, FirstFailureWins) {
  const auto store = make_memory_store();
  FailureBoard board(*store);
  EXPECT_FALSE(board.first().has_value());
  EXPECT_EQ(board.report({2, "out of memory"}).rank, 2);
  EXPECT_EQ(board.report({0, "later"}).rank, 2);
  EXPECT_EQ(board.first()->message, "out of memory");
}

TEST(StoreTest, GetNamesTheKeyAfterTheTimeout) {
  const auto store = make_memory_store();
  try {
    static_cast<void>(store->get("absent", milliseconds(10)));
    FAIL();
  } catch (const CommError& error) {
    EXPECT_NE(std::string(error.what()).find("absent"), std::string::npos);
  }
}

TEST(MonitorTest, SilentRankIsReportedByItsNeighbourAndAbortsAll) {
  const auto store = make_memory_store();
  store->add("beat/1", 1);  // rank 1 beat once and then never again
  const MonitorOptions options{.poll = milliseconds(10), .silence = milliseconds(150)};
  Monitor rank0(store->clone(), 0, 3, 0, options);
  Monitor rank2(store->clone(), 2, 3, 0, options);
  std::promise<std::string> abort_call;
  auto aborted = abort_call.get_future();
  rank2.set_abort_hook([&](const std::string& reason) { abort_call.set_value(reason); });
  const auto failure = rank2.wait_first_failure(milliseconds(3000));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->rank, 1);
  EXPECT_NE(failure->message.find("silent for 150 ms"), std::string::npos) << failure->message;
  ASSERT_EQ(aborted.wait_for(std::chrono::seconds(3)), std::future_status::ready);
  EXPECT_NE(aborted.get().find("rank 1 failed first"), std::string::npos);
}

TEST(MonitorTest, AnAbortThatWaitsForTheFailingThreadDoesNotHoldItsReportBack) {
  const auto store = make_memory_store();
  const MonitorOptions options{.poll = milliseconds(10), .silence = milliseconds(150)};
  Monitor rank(store->clone(), 0, 2, -1, options);
  std::promise<void> reported;
  std::promise<bool> abort_call;
  auto in_time = abort_call.get_future();
  rank.set_abort_hook([&](const std::string&) {
    const auto waited = reported.get_future().wait_for(std::chrono::seconds(3));
    abort_call.set_value(waited == std::future_status::ready);
  });
  FailureBoard(*store).report({1, "lost"});
  ASSERT_TRUE(rank.wait_first_failure(milliseconds(3000)).has_value());
  EXPECT_EQ(rank.report("what follows from it").message, "lost");
  reported.set_value();
  EXPECT_TRUE(in_time.get());
}

TEST(MonitorTest, RankThatLeftIsNotMissedAndWaitsForTheOthers) {
  const auto store = make_memory_store();
  const MonitorOptions options{.poll = milliseconds(10), .silence = milliseconds(100)};
  Monitor rank0(store->clone(), 0, 2, -1, options);
  std::atomic<bool> returned = false;
  std::thread other([&] {
    Monitor rank1(store->clone(), 1, 2, -1, options);
    rank1.leave();
    returned = true;
  });
  EXPECT_FALSE(rank0.wait_first_failure(milliseconds(400)).has_value());
  EXPECT_FALSE(returned);
  rank0.leave();
  other.join();
  EXPECT_TRUE(returned);
}

TEST(MonitorTest, ReportReturnsTheEarlierFailureOfAnotherRank) {
  const auto store = make_memory_store();
  const MonitorOptions options{.poll = milliseconds(10)};
  Monitor rank0(store->clone(), 0, 2, -1, options);
  Monitor rank1(store->clone(), 1, 2, -1, options);
  EXPECT_EQ(rank1.report("disk full").rank, 1);
  const Failure seen = rank0.report("lost rank 1");
  EXPECT_EQ(seen.rank, 1);
  EXPECT_EQ(seen.message, "disk full");
  EXPECT_THROW(rank0.leave(), CommError);
}

TEST(ProcessIdentityTest, ThisProcessRunsAndAnEarlierStartTimeHasEnded) {
  const std::string mine = process_identity();
  EXPECT_FALSE(has_ended(mine));
  EXPECT_TRUE(has_ended(mine.substr(0, mine.rfind(' ')) + " 1"));
  EXPECT_FALSE(has_ended("another-machine 1 1"));
}

}  // namespace
}  // namespace zt::comm
