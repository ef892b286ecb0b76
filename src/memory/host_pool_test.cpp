#include "memory/host_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "base/test_folder.h"

namespace zt::memory {
namespace {

HostTopology two_nodes() {
  return {.nodes = {{0, {0, 1, 2, 3}, {0, 2}}, {1, {4, 5, 6, 7, 8, 9}, {4, 6, 8}}},
          .machine_nodes = 2,
          .quota = 0};
}

TEST(HostPoolTest, EveryChunkRunsOnceForAnyNumberOfThreads) {
  for (const int threads : {1, 2, 5}) {
    HostPool pool(two_nodes(), threads);
    EXPECT_EQ(pool.num_threads(), threads);
    for (const std::int64_t chunks : {0, 1, 2, 3, 17, 1000}) {
      std::vector<std::atomic<int>> counts(static_cast<std::size_t>(chunks));
      pool.run(chunks, [&](std::int64_t chunk) { ++counts[static_cast<std::size_t>(chunk)]; });
      for (const auto& count : counts) ASSERT_EQ(count.load(), 1);
    }
  }
}

TEST(HostPoolTest, AFailureReachesTheCallerAndThePoolStaysUsable) {
  HostPool pool(two_nodes(), 3);
  EXPECT_THROW(pool.run(100,
                        [](std::int64_t chunk) {
                          if (chunk == 41) throw std::runtime_error("chunk 41");
                        }),
               std::runtime_error);
  std::atomic<int> count{0};
  pool.run(100, [&](std::int64_t) { ++count; });
  EXPECT_EQ(count.load(), 100);
}

TEST(HostPoolTest, CallsFromTwoThreadsFollowOneAnother) {
  HostPool pool(two_nodes(), 2);
  std::atomic<int> count{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int turn = 0; turn < 50; ++turn) pool.run(7, [&](std::int64_t) { ++count; });
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(count.load(), 4 * 50 * 7);
}

TEST(HostPoolTest, TouchKeepsContents) {
  HostPool pool(two_nodes(), 2);
  std::vector<unsigned char> bytes(5'000'001);
  std::iota(bytes.begin(), bytes.end(), 0);
  const auto before = bytes;
  pool.touch(bytes.data(), {static_cast<std::int64_t>(bytes.size())});
  EXPECT_EQ(bytes, before);
}

TEST(HostTopologyTest, RanksOfAHostShareItsCoresInTheOrderOfNodes) {
  const auto host = two_nodes();
  EXPECT_EQ(share_of_rank(host, 0, 1).num_cores(), 5);
  const auto first = share_of_rank(host, 0, 2);
  ASSERT_EQ(first.nodes.size(), 1U);
  EXPECT_EQ(first.nodes[0].cores, (std::vector<int>{0, 2}));
  EXPECT_EQ(first.nodes[0].cpus, (std::vector<int>{0, 1, 2, 3}));
  const auto second = share_of_rank(host, 1, 2);
  EXPECT_EQ(second.nodes.at(0).cores, (std::vector<int>{4, 6, 8}));
  for (int rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(share_of_rank(host, rank, 8).num_cores(), 1) << rank;
  }
}

TEST(HostTopologyTest, RanksThatTheLauncherBoundKeepTheirProcessors) {
  auto host = two_nodes();  // 10 processors, 5 cores
  host.parent_cpus = 10;    // not bound
  EXPECT_EQ(share_of_rank(host, 3, 4).num_cores(), 2);
  host.parent_cpus = 20;  // bound to a half of them, with one of the three others
  const auto with_another = share_of_rank(host, 3, 4);
  EXPECT_EQ(with_another.num_cores(), 5);
  EXPECT_EQ(default_host_threads(with_another), 2);
  host.parent_cpus = 40;  // bound to cores of its own
  EXPECT_EQ(default_host_threads(share_of_rank(host, 3, 4)), 5);
  EXPECT_EQ(HostPool(with_another).num_threads(), 2);
}

TEST(HostTopologyTest, SysfsNodesAreCutToTheAffinityMaskAndOneThreadPerCore) {
  const TestFolder folder;
  folder.write("sys/devices/system/node/node0/cpulist", "0-63");
  folder.write("sys/devices/system/node/node1/cpulist", "100000-100063");  // none that may be used
  for (int cpu = 0; cpu < 64; ++cpu) {
    folder.write(
        "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
        std::to_string(cpu / 2 * 2) + "-" + std::to_string(cpu / 2 * 2 + 1));
  }
  folder.write("proc/self/cgroup", "0::/a/b");
  folder.write("sys/fs/cgroup/a/cpu.max", "350000 100000");
  folder.write("sys/fs/cgroup/a/b/cpu.max", "max 100000");
  const auto host = host_topology(folder.root().string());
  EXPECT_EQ(host.machine_nodes, 2);
  ASSERT_EQ(host.nodes.size(), 1U);
  EXPECT_EQ(host.nodes[0].cores.size(), (host.nodes[0].cpus.size() + 1) / 2);
  EXPECT_DOUBLE_EQ(host.quota, 3.5);
  EXPECT_LE(default_host_threads(host), 4);
}

TEST(HostTopologyTest, ThisMachineHasAtLeastOneCore) {
  const auto host = host_topology();
  ASSERT_GE(host.num_cores(), 1);
  EXPECT_GE(default_host_threads(host), 1);
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11"), (std::vector<int>{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_TRUE(parse_cpu_list("").empty());
}

}  // namespace
}  // namespace zt::memory
