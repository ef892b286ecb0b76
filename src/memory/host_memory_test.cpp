#include "memory/host_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace zt::memory {
namespace {

namespace fs = std::filesystem;

TEST(HostMemoryTest, TheTightestCgroupBoundsWhatIsAvailable) {
  const fs::path root = fs::path(testing::TempDir()) / "zt_host_memory";
  fs::remove_all(root);
  const auto write = [&](const std::string& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text << "\n";
  };
  write("proc/meminfo", "MemTotal: 2000 kB\nMemAvailable:    1000 kB");
  EXPECT_EQ(available_host_memory(root.string()).value, 1'024'000);
  write("proc/self/cgroup", "0::/job/rank");
  write("sys/fs/cgroup/job/memory.max", "700000");
  write("sys/fs/cgroup/job/memory.current", "600000");
  write("sys/fs/cgroup/job/memory.stat", "anon 500000\ninactive_file 50000");
  write("sys/fs/cgroup/job/rank/memory.max", "max");
  write("sys/fs/cgroup/job/rank/memory.current", "600000");
  EXPECT_EQ(available_host_memory(root.string()).value, 150'000);
  fs::remove_all(root);
  EXPECT_EQ(available_host_memory(root.string()).value, 0);
  EXPECT_GT(available_host_memory().value, 1 << 20);
}

}  // namespace
}  // namespace zt::memory
