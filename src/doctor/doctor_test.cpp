#include "doctor/doctor.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "doctor/gpu.h"
#include "doctor/machine.h"
#include "doctor/verdict.h"

namespace zt::doctor {
namespace {

Gpus healthy(std::size_t count) {
  Gpus gpus{.driver = "580.1", .cuda = 13000, .gpus = {}};
  Gpu gpu{.name = "Some GPU",
          .memory = 80e9,
          .memory_used = 1e9,
          .processes = 0,
          .clock_mhz = 345,
          .max_clock_mhz = 1980,
          .slowdown = 1,
          .temperature = 30,
          .memory_errors = 0,
          .links = 18,
          .peers = std::vector<int>(count - 1, 0)};
  gpus.gpus.assign(count, gpu);
  return gpus;
}

bool all_good(const Verdicts& verdicts) {
  for (const Verdict& verdict : verdicts) {
    if (verdict.level != Level::good) return false;
  }
  return !verdicts.empty();
}

TEST(DoctorTest, OnlyBadVerdictsFail) {
  EXPECT_EQ(
      exit_code({{.level = Level::notice}, {.level = Level::skipped}, {.level = Level::good}}), 0);
  EXPECT_EQ(exit_code({{.level = Level::good}, {.level = Level::bad}}), 5);
  EXPECT_EQ(line({.level = Level::bad, .check = "disk", .text = "full", .remedy = "Free some"}),
            "FAIL  disk: full. Free some.");
  EXPECT_NE(json_report({{.check = "a\"b", .value = 2, .unit = "GB/s"}}).find("\"a\\\"b\""),
            std::string::npos);
  EXPECT_EQ(size_text(1536), "1.5 KiB");
}

TEST(DoctorTest, AHealthyMachineWithGpusIsGood) {
  const Gpus gpus = healthy(2);
  EXPECT_TRUE(all_good(check_driver(gpus, 2, 13000)));
  EXPECT_TRUE(all_good(check_gpus(gpus)));
  EXPECT_TRUE(all_good(check_links(gpus)));
  EXPECT_TRUE(check_links(healthy(1)).empty());
}

TEST(DoctorTest, WhatIsWrongWithAGpuIsSaid) {
  Gpus gpus = healthy(2);
  gpus.cuda = 12080;
  gpus.gpus[1].slowdown = 0x40;
  gpus.gpus[1].memory_errors = 2;
  gpus.gpus[1].links = 17;
  gpus.gpus[0].peers[0] = 1;
  gpus.gpus[0].processes = 3;
  EXPECT_EQ(check_driver(gpus, 2, 13000)[0].level, Level::bad);
  EXPECT_EQ(check_driver(gpus, 0, 12000)[1].level, Level::bad);
  EXPECT_EQ(check_driver(gpus, 0, 0)[1].level, Level::notice);
  const Verdicts each = check_gpus(gpus);
  EXPECT_EQ(each[0].level, Level::notice);  // other programs
  EXPECT_EQ(each[4].level, Level::bad);     // slowed down
  EXPECT_EQ(each[5].level, Level::bad);     // memory errors
  const Verdicts links = check_links(gpus);
  EXPECT_EQ(links[0].level, Level::bad);
  EXPECT_EQ(links[1].level, Level::notice);
  EXPECT_EQ(links[1].text, "1 of 2 directions");
}

TEST(DoctorTest, DisksAndFoldersThatCannotBeUsedAreBad) {
  EXPECT_EQ(check_disk("/no/such/folder", 1e6).front().level, Level::bad);
  EXPECT_EQ(check_disk("/proc", 16e6).back().level, Level::bad);
  const Verdicts here = check_disk(::testing::TempDir(), 16e6);
  ASSERT_EQ(here.size(), 3U);
  EXPECT_GT(here[1].value, 0);
  EXPECT_EQ(check_shared_memory("/no/such/folder").level, Level::bad);
}

TEST(DoctorTest, FlagsAreRead) {
  const DoctorFlags flags = parse_doctor({"--json", "--quick", "--dir", "/tmp"});
  EXPECT_EQ(flags.json, "-");
  EXPECT_TRUE(flags.quick);
  EXPECT_EQ(flags.folder, "/tmp");
  EXPECT_EQ(parse_doctor({"--json", "x.json"}).json, "x.json");
  EXPECT_THROW((void)parse_doctor({"--jsno", "--dir"}), ConfigError);
}

}  // namespace
}  // namespace zt::doctor
