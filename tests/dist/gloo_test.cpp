#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/sockets.h"
#include "comm/gloo/gloo_communicator.h"
#include "comm/tcp_store.h"
#include "testing/collective_checks.h"
#include "testing/rank_launcher.h"

namespace zt {
namespace {

using std::chrono::milliseconds;

/// Inodes of the sockets of this process.
std::set<std::string> own_sockets() {
  std::set<std::string> inodes;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (target.rfind("socket:[", 0) == 0) {
      inodes.insert(target.substr(8, target.size() - 9));
    }
  }
  return inodes;
}

/// Hexadecimal local addresses on which this process listens.
std::vector<std::string> listening_addresses() {
  const std::set<std::string> own = own_sockets();
  std::vector<std::string> addresses;
  for (const char* table : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
      std::istringstream fields(line);
      std::string slot, local, remote, state, inode;
      fields >> slot >> local >> remote >> state;
      for (int field = 4; field < 10; ++field) {
        fields >> inode;
      }
      if (state == "0A" && own.count(inode) > 0) {
        addresses.push_back(local.substr(0, local.find(':')));
      }
    }
  }
  return addresses;
}

TEST(GlooTest, ListensOnTheLoopbackAddressAlone) {
  testing::run_processes(2, [](comm::RankGroup& group) {
    const auto addresses = listening_addresses();
    EXPECT_GE(addresses.size(), group.communicator().rank() == 0 ? 2U : 1U);
    for (const std::string& address : addresses) {
      EXPECT_TRUE(address == "0100007F" || address == "0000000000000000FFFF00000100007F")
          << address;
    }
  });
}

class GlooWorlds : public ::testing::TestWithParam<int> {};

TEST_P(GlooWorlds, EveryCollectiveMovesEveryElement) {
  testing::run_processes(
      GetParam(), [](comm::RankGroup& group) { testing::check_collectives(group.communicator()); });
}

INSTANTIATE_TEST_SUITE_P(Worlds, GlooWorlds, ::testing::Values(1, 2, 3, 4));

/// Counts in memory that forked processes share.
class SharedCounter {
 public:
  SharedCounter()
      : memory_(mmap(nullptr, sizeof(Count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0)),
        count_(new (memory_) Count(0)) {}
  ~SharedCounter() { munmap(memory_, sizeof(Count)); }
  SharedCounter(const SharedCounter&) = delete;
  SharedCounter& operator=(const SharedCounter&) = delete;
  void add_one() const { ++*count_; }
  [[nodiscard]] int count() const { return *count_; }

 private:
  using Count = std::atomic<int>;
  void* memory_;
  Count* count_;
};

/// Ranks exchange until something happens; each message then has to name `culprit`.
void expect_all_name(int culprit, int signal, const std::string& why,
                     const comm::MonitorOptions& monitor) {
  const SharedCounter ready;
  testing::ProcessOptions options;
  options.expect_success = false;
  options.monitor = monitor;
  options.timeout = std::chrono::seconds(40);
  options.operation_timeout = milliseconds(600'000);
  options.interfere = [&](const std::vector<pid_t>& pids) {
    for (int i = 0; i < 4000 && ready.count() < 4; ++i) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    ASSERT_EQ(ready.count(), 4);
    std::this_thread::sleep_for(milliseconds(300));
    kill(pids[static_cast<std::size_t>(culprit)], signal);
    if (signal == SIGSTOP) {
      std::thread([pid = pids[static_cast<std::size_t>(culprit)]] {
        std::this_thread::sleep_for(milliseconds(4500));
        kill(pid, SIGKILL);
      }).detach();
    }
  };
  const auto results = testing::run_processes(
      4,
      [&](comm::RankGroup& group) {
        std::vector<float> send(400'000), recv(400'000);
        group.communicator().barrier();
        ready.add_one();
        for (int i = 0; i < 1'000'000; ++i) {
          group.communicator().all_to_all({send.data(), 400'000, DType::f32},
                                          {recv.data(), 400'000, DType::f32}, {});
          std::this_thread::sleep_for(milliseconds(2));
        }
      },
      options);
  const std::string name = "rank " + std::to_string(culprit) + " failed first";
  for (const auto& result : results) {
    EXPECT_FALSE(result.succeeded);
    if (result.rank != culprit) {
      EXPECT_EQ(result.exit_code, 1) << "rank " << result.rank << " signal " << result.signal;
      EXPECT_LT(result.seconds, 30);
      EXPECT_NE(result.message.find(name), std::string::npos)
          << "rank " << result.rank << ": " << result.message;
      EXPECT_NE(result.message.find(why), std::string::npos)
          << "rank " << result.rank << ": " << result.message;
      GTEST_LOG_(INFO) << "rank " << result.rank << " left after " << result.seconds << " s";
    }
  }
}

TEST(GlooFailureTest, KilledRankIsNamedByAllOthers) {
  expect_all_name(2, SIGKILL, "killed or crashed", {});
}

TEST(GlooFailureTest, KilledHostOfTheStoreIsNamedByAllOthers) {
  expect_all_name(0, SIGKILL, "killed or crashed", {});
}

TEST(GlooFailureTest, StoppedRankIsNamedByAllOthers) {
  expect_all_name(
      1, SIGSTOP, "silent for 2500 ms",
      {.poll = milliseconds(200), .silence = milliseconds(2500), .grace = milliseconds(300)});
}

TEST(GlooFailureTest, StoppedHostOfTheStoreIsNamedByAllOthers) {
  expect_all_name(
      0, SIGSTOP, "stopped",
      {.poll = milliseconds(200), .silence = milliseconds(2500), .grace = milliseconds(300)});
}

TEST(GlooFailureTest, ReportedErrorOfOneRankReachesAllOthers) {
  testing::ProcessOptions options;
  options.expect_success = false;
  const auto results = testing::run_processes(
      3,
      [](comm::RankGroup& group) {
        group.communicator().barrier();
        if (group.communicator().rank() == 1) {
          throw FileError("[data.read] shard 7 is damaged");
        }
        group.communicator().barrier();
      },
      options);
  for (const auto& result : results) {
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_NE(result.message.find("shard 7 is damaged"), std::string::npos) << result.message;
    EXPECT_LT(result.seconds, 10);
  }
}

TEST(GlooFailureTest, OperationTimeoutNamesTheSilentPeer) {
  testing::ProcessOptions options;
  options.expect_success = false;
  options.operation_timeout = milliseconds(500);
  options.monitor = {.poll = milliseconds(100), .silence = milliseconds(1000)};
  const auto results = testing::run_processes(
      2,
      [](comm::RankGroup& group) {
        if (group.communicator().rank() == 1) {
          std::this_thread::sleep_for(milliseconds(3000));  // busy, but its heart beats
        }
        group.communicator().barrier();
      },
      options);
  EXPECT_NE(results[0].message.find("exchange with rank 1 failed: no answer within 500 ms"),
            std::string::npos)
      << results[0].message;
  EXPECT_NE(results[1].message.find("rank 0 failed first"), std::string::npos)
      << results[1].message;
}

TEST(GlooFailureTest, NothingOfAnAbortedExchangeReachesARankThatComesLater) {
  const net::BoundSocket socket = net::listen_socket("127.0.0.1", 0);
  testing::run_processes(2, [&socket](comm::RankGroup& group) {
    const int rank = group.communicator().rank();
    // Beside the group's: here no monitor tells one rank of the other's end.
    const auto store =
        comm::open_tcp_store({.port = socket.port(),
                              .is_server = rank == 0,
                              .listen_fd = rank == 0 ? std::optional(socket.fd()) : std::nullopt});
    const auto gloo =
        comm::make_gloo(*store, {.rank = rank, .world = 2, .timeout = milliseconds(1500)});
    std::vector<std::int64_t> mine(3, 7), all(6, 0);
    const View send{mine.data(), 3, DType::i64}, recv{all.data(), 6, DType::i64};
    if (rank == 0) {
      group.communicator().barrier();
      EXPECT_THROW(gloo->all_gather(send, recv, {}), CommError) << "rank 1's part: " << all[3];
    } else {
      std::thread abort([&gloo] {
        std::this_thread::sleep_for(milliseconds(200));
        gloo->abort("another rank failed");
      });
      EXPECT_THROW(gloo->all_gather(send, recv, {}), CommError);
      abort.join();
      mine.assign(3, -1);  // the memory serves something else now
      all.assign(6, 5);
      group.communicator().barrier();
    }
    group.communicator().barrier();
    if (rank == 0) return;
    EXPECT_EQ(all, std::vector<std::int64_t>(6, 5)) << "rank 0 wrote into it";
  });
}

/// Every rank ends with an error of its own, one after the other.
TEST(GlooFailureTest, WhatFollowsFromAFailureNamesItAndIsNoCause) {
  testing::ProcessOptions options;
  options.expect_success = false;
  options.monitor.poll = milliseconds(50);
  const auto results = testing::run_processes(
      3,
      [](comm::RankGroup& group) {
        const int rank = group.communicator().rank();
        group.communicator().barrier();
        comm::run_part(group, [rank] {
          if (rank == 1) throw FileError("[data.read] shard 7 is damaged");
          std::this_thread::sleep_for(milliseconds(400));
          throw ConfigError("[zero.engine] the step has no target tokens");
        });
      },
      options);
  EXPECT_EQ(results[1].message, "[data.read] shard 7 is damaged");
  for (const std::size_t rank : {0U, 2U}) {
    const auto& message = results[rank].message;
    EXPECT_EQ(message.find("[comm.run_part] rank 1 failed first: [data.read] shard 7"), 0U)
        << message;
    EXPECT_NE(message.find("no target tokens"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace zt
