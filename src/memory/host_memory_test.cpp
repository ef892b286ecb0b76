#include "memory/host_memory.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/test_folder.h"

namespace zt::memory {
namespace {

namespace fs = std::filesystem;

TEST(HostMemoryTest, TheTightestCgroupBoundsWhatIsAvailable) {
  const TestFolder folder;
  folder.write("proc/meminfo", "MemTotal: 2000 kB\nMemAvailable:    1000 kB");
  EXPECT_EQ(available_host_memory(folder.root().string()).value, 1'024'000);
  folder.write("proc/self/cgroup", "0::/job/rank");
  folder.write("sys/fs/cgroup/job/memory.max", "700000");
  folder.write("sys/fs/cgroup/job/memory.current", "600000");
  folder.write("sys/fs/cgroup/job/memory.stat", "anon 500000\ninactive_file 50000");
  folder.write("sys/fs/cgroup/job/rank/memory.max", "max");
  folder.write("sys/fs/cgroup/job/rank/memory.current", "600000");
  EXPECT_EQ(available_host_memory(folder.root().string()).value, 150'000);
  const auto state = host_memory_state(folder.root().string());
  EXPECT_EQ(state.limit.value, 700'000);
  EXPECT_EQ(state.left.value, 150'000);
  EXPECT_EQ(state.available.value, 1'024'000);
  EXPECT_NE(state.limit_file.find("cgroup/job/memory.max"), std::string::npos);
  fs::remove_all(folder.root());
  EXPECT_EQ(available_host_memory(folder.root().string()).value, 0);
  EXPECT_GT(available_host_memory().value, 1 << 20);
}

TEST(HostMemoryTest, LimitsOfCgroupsOfVersion1CountAndTheirHugeNumberIsNone) {
  const TestFolder folder;
  folder.write("proc/self/cgroup", "5:cpu:/\n4:memory:/job");
  folder.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
  folder.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000");
  EXPECT_EQ(host_memory_state(folder.root().string()).limit.value, 0);
  folder.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9000");
  folder.write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "5000");
  folder.write("sys/fs/cgroup/memory/job/memory.stat", "cache 900\ntotal_inactive_file 800");
  EXPECT_EQ(host_memory_state(folder.root().string()).left.value, 4'800);
  EXPECT_EQ(available_host_memory(folder.root().string()).value, 4'800);
}

const std::vector<HostItem> kItems{{"master_shard", {3000}}, {"exp_avg", {3000}}, {"none", {0}}};

std::string refusal(const HostMemoryState& state, std::optional<Bytes> allowed) {
  try {
    (void)check_host_memory(kItems, 2, state, allowed);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

TEST(HostMemoryTest, ALimitRefusesWithNumbersPerItemAndTheKernelsFigureOnlyWarns) {
  HostMemoryState state{.available = {11'999}};
  const auto warning = check_host_memory(kItems, 2, state, {});
  EXPECT_NE(warning.find("2 ranks of this machine need 11.7 KiB"), std::string::npos) << warning;
  EXPECT_NE(warning.find("master_shard 2.9 KiB, exp_avg 2.9 KiB)"), std::string::npos) << warning;
  state.available = {12'000};
  EXPECT_EQ(check_host_memory(kItems, 2, state, {}), "");
  state.limit = {20'000};
  state.left = {11'999};
  state.limit_file = "/sys/fs/cgroup/memory.max";
  const auto text = refusal(state, {});
  EXPECT_NE(text.find("of /sys/fs/cgroup/memory.max"), std::string::npos) << text;
  EXPECT_NE(text.find("each master_shard 2.9 KiB, exp_avg 2.9 KiB"), std::string::npos) << text;
  state.left = {12'000};
  EXPECT_EQ(refusal(state, {}), "");
}

TEST(HostMemoryTest, WhatTheUserAllowsReplacesWhatTheMachineSays) {
  const HostMemoryState state{.available = {1}, .limit = {2}, .left = {1}, .limit_file = "x"};
  EXPECT_EQ(refusal(state, Bytes{12'000}), "");
  EXPECT_EQ(check_host_memory(kItems, 2, state, Bytes{12'000}), "");
  EXPECT_NE(refusal(state, Bytes{11'999}).find("allowed by --host_memory"), std::string::npos);
}

}  // namespace
}  // namespace zt::memory
