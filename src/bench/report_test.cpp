#include "bench/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "bench/bench_flags.h"
#include "train/trace.h"

namespace zt::bench {
namespace {

using schedule::Stream;

TEST(BusyTest, CountsOverlapOnceAndExposedOnlyWhereComputeRests) {
  const auto busy = busy_of({{Stream::compute, 0.0, 1.0},
                             {Stream::comm, 0.5, 2.0},
                             {Stream::compute, 1.5, 2.5},
                             {Stream::comm, 3.0, 3.25}});
  EXPECT_DOUBLE_EQ(busy.compute, 2.0);
  EXPECT_DOUBLE_EQ(busy.communication, 1.75);
  EXPECT_DOUBLE_EQ(busy.exposed, 0.75);
  EXPECT_DOUBLE_EQ(busy.length, 3.25);
}

TEST(BusyTest, AnIntervalInsideAnotherAddsNothing) {
  const auto busy = busy_of({{Stream::compute, 0.0, 4.0}, {Stream::compute, 1.0, 2.0}});
  EXPECT_DOUBLE_EQ(busy.compute, 4.0);
}

TEST(SharesTest, PartsAddUpToOne) {
  const Busy busy{.compute = 8, .communication = 3, .exposed = 1, .length = 9};
  const auto shares = shares_of(busy, 5, 2, 10);
  EXPECT_DOUBLE_EQ(shares.gemm, 0.5);
  EXPECT_DOUBLE_EQ(shares.attention, 0.2);
  EXPECT_DOUBLE_EQ(shares.other, 0.1);
  EXPECT_DOUBLE_EQ(shares.exposed, 0.1);
  EXPECT_NEAR(shares.idle, 0.1, 1e-12);
}

TEST(ReportTest, MedianOfEvenAndOddCounts) {
  EXPECT_DOUBLE_EQ(median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(median({4, 1, 2, 3}), 2.5);
}

TEST(ReportTest, RowHasSpeedOfTheMedianStepAndShareOfCeiling) {
  RowSetup setup;
  setup.model = "Qwen3-0.6B";
  RowResult result;
  result.seconds = {0.5, 0.25, 1.0};
  result.tokens_per_rank = 1000;
  result.flops_per_token = 989.4e9;
  result.ceiling = 0.25;
  const auto row = nlohmann::json::parse(json_row(setup, result));
  EXPECT_DOUBLE_EQ(row["tokens_per_second_per_gpu"], 2000);
  EXPECT_NEAR(row["mfu"].get<double>(), 2.0, 1e-12);
  EXPECT_DOUBLE_EQ(row["share_of_ceiling"], 0.5);
  EXPECT_FALSE(row.contains("time_shares"));
  EXPECT_NE(text_row(setup, result).find("2000 tokens/s"), std::string::npos);
}

TEST(TraceTest, IsJsonWithOneEventPerOperationInMicroseconds) {
  const auto trace = nlohmann::json::parse(
      train::chrome_trace({{"gather u1", Stream::comm, "only", 0.5, 0.75}}, 1));
  const auto& event = trace["traceEvents"].back();
  EXPECT_EQ(event["name"], "gather u1");
  EXPECT_EQ(event["pid"], 1);
  EXPECT_DOUBLE_EQ(event["ts"], 500'000);
  EXPECT_DOUBLE_EQ(event["dur"], 250'000);
}

TEST(BenchFlagsTest, SplitsItsOwnFlagsFromThoseOfTrain) {
  const auto flags = parse_bench_flags(
      {"--model", "Qwen3-0.6B", "--bf16", "--steps=7", "--ceiling", "false", "--zero-stage", "2"});
  EXPECT_EQ(flags.model, "Qwen3-0.6B");
  EXPECT_EQ(flags.steps, 7);
  EXPECT_FALSE(flags.ceiling);
  EXPECT_EQ(flags.zero_stage, 2);
  EXPECT_EQ(flags.rest, std::vector<std::string>{"--bf16"});
}

TEST(BenchFlagsTest, WrongValuesAreNamedTogether) {
  try {
    (void)parse_bench_flags({"--steps", "0", "--zero_stage", "4"});
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("--steps"), std::string::npos);
    EXPECT_NE(text.find("--zero_stage"), std::string::npos);
    EXPECT_NE(text.find("--model is missing"), std::string::npos);
  }
}

}  // namespace
}  // namespace zt::bench
