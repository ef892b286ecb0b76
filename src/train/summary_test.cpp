#include "train/summary.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

namespace zt::train {
namespace {

TEST(SummaryTest, NamesTheBatchTripleAndTokensPerStep) {
  config::Config config;
  config.run.per_device_train_batch_size = 2;
  config.run.gradient_accumulation_steps = 3;

  config.zero.stage = 2;
  const auto plan = make_step_plan(config.run, 30, 10);
  RunSummary summary;
  summary.num_params = 1234567;
  summary.world = 4;
  summary.block_size = 64;
  summary.build.residency = {.grads_sharded = true, .states_sharded = true};
  const auto text = describe_run(summary, config, plan);
  EXPECT_NE(text.find("2 per rank x 3 accumulation x 4 ranks = 24 sequences of 64 tokens"),
            std::string::npos);
  EXPECT_NE(text.find("1536 per step"), std::string::npos);
  EXPECT_NE(text.find("1234567 (1.23M)"), std::string::npos);
  EXPECT_NE(text.find("2: parameters replicated (device), gradients sharded (device), "
                      "states sharded (device)"),
            std::string::npos);
}

TEST(MemoryReportTest, TableShowsTheDifferenceInPercent) {
  const auto text = memory_table({{"device", {100 << 20}, {110 << 20}}, {"host", {0}, {0}}});
  EXPECT_NE(text.find("100.0 MiB"), std::string::npos);
  EXPECT_NE(text.find("+10.0%"), std::string::npos);
  EXPECT_EQ(text.back(), '-');
}

TEST(MemoryReportTest, PeakCountsMemoryThatWasTouchedAndFreed) {
  constexpr std::size_t kSize = 64 << 20;
  forget_peak();
  const auto base = read_process_memory();
  {
    std::vector<char> touched(kSize, 1);
    EXPECT_EQ(touched.back(), 1);
  }
  EXPECT_GE(peak_growth(base).value, static_cast<std::int64_t>(kSize * 9 / 10));
  EXPECT_LT(peak_growth(base).value, static_cast<std::int64_t>(kSize * 2));
}

TEST(MemoryReportTest, PagesOfFilesDoNotCount) {
  forget_peak();
  const auto base = read_process_memory();
  const int file = ::open("/proc/self/exe", O_RDONLY);
  const auto size = static_cast<std::size_t>(::lseek(file, 0, SEEK_END));
  auto* bytes = static_cast<const char*>(
      ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0));
  ASSERT_NE(bytes, MAP_FAILED);
  EXPECT_LT(peak_growth(base).value, static_cast<std::int64_t>(size / 2) + (1 << 20));
  ::munmap(const_cast<char*>(bytes), size);
  ::close(file);
}

}  // namespace
}  // namespace zt::train
