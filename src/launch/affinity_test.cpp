#include "launch/affinity.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/test_folder.h"

namespace zt::launch {
namespace {

namespace fs = std::filesystem;

/// Two sockets of two cores with two threads each; GPU 0 at node 1, GPU 1 at node 0.
class AffinityTest : public ::testing::Test {
 protected:
  AffinityTest() {
    write("sys/devices/system/cpu/online", "0-7");
    for (int cpu = 0; cpu < 8; ++cpu) {
      const int core = cpu % 4;
      write("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
            std::to_string(core) + "," + std::to_string(core + 4));
    }
    write("sys/devices/system/node/node0/cpulist", "0-1,4-5");
    write("sys/devices/system/node/node1/cpulist", "2-3,6-7");
    write("proc/driver/nvidia/gpus/0000:1a:00.0/information", "");
    write("proc/driver/nvidia/gpus/0000:8b:00.0/information", "");
    write("sys/bus/pci/devices/0000:1a:00.0/numa_node", "1");
    write("sys/bus/pci/devices/0000:8b:00.0/numa_node", "0");
  }

  void write(const std::string& path, const std::string& text) const { folder_.write(path, text); }

  TestFolder folder_;
  const fs::path root_ = folder_.root();
};

using Numbers = std::vector<int>;

TEST_F(AffinityTest, ListsAreNumbersAndRanges) {
  EXPECT_EQ(*parse_cpu_list("0-2,8,1"), (Numbers{0, 1, 2, 8}));
  for (const char* bad : {"", "a", "3-1", "1,", "-1", "1-", "999999"}) {
    EXPECT_FALSE(parse_cpu_list(bad).has_value()) << bad;
  }
}

TEST_F(AffinityTest, ReadsCoresNodesAndGpus) {
  const Topology topology = read_topology(root_.string());
  EXPECT_EQ(topology.cores, (Numbers{0, 1, 2, 3}));
  ASSERT_EQ(topology.nodes.size(), 2U);
  EXPECT_EQ(topology.nodes[1], (Numbers{2, 3, 6, 7}));
  EXPECT_EQ(topology.gpu_nodes, (Numbers{1, 0}));
}

TEST_F(AffinityTest, CoresAreCutIntoEqualRuns) {
  const Topology topology = read_topology(root_.string());
  const auto places = places_by_cores(topology, 2, {});
  EXPECT_EQ(places[0].cpus, (Numbers{0, 1}));
  EXPECT_EQ(places[0].memory_node, 0);
  EXPECT_EQ(places[1].cpus, (Numbers{2, 3}));
  EXPECT_EQ(places[1].memory_node, 1);
  EXPECT_EQ(places_by_cores(topology, 1, {1, 2})[0].memory_node, -1);
  EXPECT_THROW((void)places_by_cores(topology, 5, {}), ConfigError);
  EXPECT_THROW((void)places_by_cores(topology, 1, {99}), ConfigError);
}

TEST_F(AffinityTest, RanksGoToTheirGpusNodesWhenNoProcessorIsLost) {
  const Topology topology = read_topology(root_.string());
  const auto places = places_by_gpu(topology, {0, 1});
  ASSERT_EQ(places.size(), 2U);
  EXPECT_EQ(places[0].cpus, topology.nodes[1]);
  EXPECT_EQ(places[1].cpus, topology.nodes[0]);
  EXPECT_TRUE(places_by_gpu(topology, {0}).empty());     // half of the machine would idle
  EXPECT_TRUE(places_by_gpu(topology, {0, 2}).empty());  // not known
}

TEST(SettleTest, TheProcessRunsOnlyThere) {
  const Topology here = read_topology();
  ASSERT_FALSE(here.cpus.empty());
  const pid_t child = fork();
  if (child == 0) {
    settle({{here.cpus.back()}, -1});
    _exit(read_topology().cpus == Numbers{here.cpus.back()} ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace zt::launch
