#include "memory/nvme/nvme_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include "memory/nvme/disk_probe.h"

namespace zt::memory {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kBlock = 64 << 10;

/// A fresh folder beside the test program: on the build's disk, where direct I/O usually works.
std::string fresh_folder(const std::string& name) {
  const fs::path path = fs::current_path() / ("nvme_test_" + name);
  fs::remove_all(path);
  return path.string();
}

std::vector<std::byte> random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<std::byte> result(count);
  for (auto& byte : result) byte = static_cast<std::byte>(generator());
  return result;
}

struct Way {
  const char* name;
  AioOptions aio;
};

void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

class NvmeStoreWays : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override { path_ = fresh_folder(GetParam().name); }
  void TearDown() override { fs::remove_all(path_); }
  std::string path_;
};

TEST_P(NvmeStoreWays, EverySizeComesBackFromAlignedAndOddAddresses) {
  NvmeStore store({.path = path_, .rank = 3, .aio = GetParam().aio});
  const std::size_t sizes[] = {
      0, 1, 511, 512, 513, 4095, 4096, 4097, kBlock, kBlock + 1, 7 * kBlock + 12'345};
  const std::size_t largest = round_up(8 * kBlock, 4096) + 1;
  auto* aligned = static_cast<std::byte*>(std::aligned_alloc(4096, round_up(largest, 4096)));
  for (const std::size_t shift : {0U, 1U}) {
    for (const std::size_t size : sizes) {
      const auto range = store.add("u" + std::to_string(shift) + "." + std::to_string(size),
                                   {static_cast<std::int64_t>(size)});
      const auto expected = random_bytes(size, static_cast<unsigned>(size));
      std::copy(expected.begin(), expected.end(), aligned + shift);
      store.wait(store.write(range, {aligned + shift, size}));
      std::fill_n(aligned, largest, std::byte{0xee});
      store.wait(store.read(range, {aligned + shift, size}));
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), aligned + shift)) << size;
      EXPECT_EQ(aligned[shift + size], std::byte{0xee}) << "wrote past the buffer, " << size;
    }
  }
  std::free(aligned);
}

TEST_P(NvmeStoreWays, ReadsSeeEarlierWritesThatNobodyWaitedFor) {
  NvmeStore store({.path = path_, .aio = GetParam().aio});
  const std::size_t size = 9 * kBlock + 77;
  const auto a = store.add("a", {static_cast<std::int64_t>(size)});
  const auto b = store.add("b", {static_cast<std::int64_t>(size)});
  std::vector<std::vector<std::byte>> versions;
  for (unsigned i = 0; i < 6; ++i) versions.push_back(random_bytes(size, i));
  std::vector<std::vector<std::byte>> seen(versions.size(), std::vector<std::byte>(size));
  for (std::size_t i = 0; i < versions.size(); ++i) {
    (void)store.write(i % 2 == 0 ? a : b, versions[i]);
    (void)store.read(i % 2 == 0 ? a : b, seen[i]);
  }
  store.wait_all();
  EXPECT_EQ(seen, versions);
}

TEST_P(NvmeStoreWays, PartsOfARangeAreReadAndWrittenOnTheirOwn) {
  NvmeStore store({.path = path_, .aio = GetParam().aio});
  const std::size_t size = 5 * kBlock + 100;
  const auto range = store.add("parts", {static_cast<std::int64_t>(size)});
  auto expected = random_bytes(size, 1);
  store.wait(store.write(range, expected));
  const auto middle = random_bytes(2 * kBlock, 2);
  const auto ticket = store.write(range, middle, {kBlock});
  std::copy(middle.begin(), middle.end(), expected.begin() + kBlock);
  std::vector<std::byte> tail(kBlock + 100);
  store.wait(store.read(range, tail, {4 * kBlock}));
  EXPECT_TRUE(std::equal(tail.begin(), tail.end(), expected.begin() + 4 * kBlock));
  store.wait(ticket);
  EXPECT_TRUE(store.is_done(ticket));
  std::vector<std::byte> whole(size);
  store.wait(store.read(range, whole));
  EXPECT_EQ(whole, expected);
  EXPECT_THROW((void)store.read(range, tail, {100}), InternalError);
  EXPECT_EQ(store.stats().written.value, static_cast<std::int64_t>(size) + 2 * kBlock);
}

AioOptions aio(int depth, int threads) {
  AioOptions options;
  options.block_size = kBlock;
  options.queue_depth = depth;
  options.intra_op_parallelism = threads;
  return options;
}

AioOptions single_submit() {
  AioOptions options = aio(8, 1);
  options.single_submit = true;
  return options;
}

AioOptions without_overlap() {
  AioOptions options = aio(4, 1);
  options.overlap_events = false;
  return options;
}

AioOptions without_ring(int depth, int threads) {
  AioOptions options = aio(depth, threads);
  options.use_io_uring = false;
  return options;
}

INSTANTIATE_TEST_SUITE_P(Aio, NvmeStoreWays,
                         testing::Values(Way{"ring", aio(8, 1)}, Way{"depth_1", aio(1, 1)},
                                         Way{"two_threads", aio(3, 2)},
                                         Way{"single_submit", single_submit()},
                                         Way{"without_overlap", without_overlap()},
                                         Way{"pread", without_ring(4, 2)},
                                         Way{"one_pread", without_ring(1, 1)}),
                         [](const auto& tested) { return tested.param.name; });

TEST(NvmeStoreTest, TwoRunsOnOnePathKeepApartAndLeaveNothing) {
  const std::string path = fresh_folder("two_runs");
  {
    NvmeStore first({.path = path, .rank = 1});
    NvmeStore second({.path = path, .rank = 1});
    EXPECT_NE(first.folder(), second.folder());
    EXPECT_EQ(fs::path(first.folder()).filename(), "rank00001");
    const auto range_of_first = first.add("u0", {10});
    const auto range_of_second = second.add("u0", {10});
    const auto one = random_bytes(10, 1);
    const auto two = random_bytes(10, 2);
    first.wait(first.write(range_of_first, one));
    second.wait(second.write(range_of_second, two));
    std::vector<std::byte> seen(10);
    first.wait(first.read(range_of_first, seen));
    EXPECT_EQ(seen, one);
  }
  EXPECT_TRUE(fs::is_empty(path));
  fs::remove_all(path);
}

std::uintmax_t bytes_below(const fs::path& path) {
  std::uintmax_t sum = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) sum += entry.file_size();
  }
  return sum;
}

/// A process that makes a store, writes and is killed: no destructor runs.
void crash_with_store(const std::string& path, int rank) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    NvmeStore store({.path = path, .rank = rank, .aio = aio(2, 1)});
    const auto bytes = random_bytes(1 << 20, 5);
    store.wait(store.write(store.add("u0", {1 << 20}), bytes));
    (void)kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;
}

TEST(NvmeStoreTest, TenCrashesAndRestartsLeaveNoGrowth) {
  const std::string path = fresh_folder("crashes");
  std::vector<std::uintmax_t> sizes;
  for (int run = 0; run < 10; ++run) {
    crash_with_store(path, run % 3);  // runs of other sizes sweep the other ranks' folders too
    sizes.push_back(bytes_below(path));
  }
  EXPECT_EQ(sizes, std::vector<std::uintmax_t>(10, 1 << 20));
  { NvmeStore last({.path = path, .rank = 7}); }
  EXPECT_TRUE(fs::is_empty(path));
  fs::remove_all(path);
}

TEST(NvmeStoreTest, ADiskThatIsTooSmallIsRefusedWithBothSizes) {
  const std::string path = fresh_folder("full");
  NvmeStore store({.path = path, .rank = 2});
  constexpr Bytes kTooMuch{std::int64_t{1} << 55};
  try {
    (void)store.add("u0", kTooMuch);
    FAIL() << "a range larger than the disk was taken";
  } catch (const FileError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("u0 cannot be reserved: No space left on device"), std::string::npos)
        << text;
    EXPECT_NE(text.find("(rank 2)"), std::string::npos) << text;
  }
  EXPECT_GT(free_disk(path + "/not/there").value, 0);
}

TEST(NvmeStoreTest, PathsThatCannotBeUsedAreRefused) {
  EXPECT_THROW(NvmeStore({.path = ""}), ConfigError);
  const std::string path = fresh_folder("file");
  std::ofstream(path) << "a file";
  EXPECT_THROW(NvmeStore({.path = path}), ConfigError);
  fs::remove_all(path);
  AioOptions none;
  none.queue_depth = 0;
  EXPECT_THROW(NvmeStore({.path = path, .aio = none}), ConfigError);
  fs::remove_all(path);
}

TEST(NvmeStoreTest, TheEngineIsNamedWithItsReason) {
  const std::string path = fresh_folder("engine");
  const NvmeStore off({.path = path, .aio = without_ring(2, 1)});
  EXPECT_EQ(off.stats().engine, "pread/pwrite (aio.use_io_uring is off)");
  const NvmeStore automatic({.path = path});
  const std::string engine = automatic.stats().engine;
  EXPECT_TRUE(engine == "io_uring" || engine.find("pread/pwrite (the kernel refuses") == 0)
      << engine;
}

TEST(DiskProbeTest, MeasuresBothWaysAndLeavesNothing) {
  const std::string path = fresh_folder("probe");
  const DiskProbe probe = probe_disk(path, aio(4, 1), 0.02);
  EXPECT_GT(probe.write_gb_per_s, 0.0);
  EXPECT_GT(probe.read_gb_per_s, 0.0);
  EXPECT_FALSE(probe.engine.empty());
  EXPECT_TRUE(fs::is_empty(path));
  fs::remove_all(path);
}

}  // namespace
}  // namespace zt::memory
