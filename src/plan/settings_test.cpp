#include "plan/settings.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/choose.h"
#include "plan/step_estimate.h"
#include "plan/test_layers.h"

namespace zt::plan {
namespace {

constexpr std::int64_t kGB = 1'000'000'000;

/// 24 blocks of 12.6 M, 365 M parameters in all: 5.8 GB of states with their masters, one RTX4090.
class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    options_.precision.compute = DType::bf16;
    options_.zero.reduce_bucket_size = 10'000'000;
    options_.shape = {1, 2048, false};
    options_.micro_steps = 4;
  }
  [[nodiscard]] Target target(std::int64_t device, std::int64_t host = 0) const {
    Target result;
    result.device = Device::cuda;
    result.device_memory = {device};
    result.host_memory = {host};
    result.sheet = find_device("RTX4090");
    return result;
  }
  [[nodiscard]] Settings find(const Target& where) const {
    const Planner planner(model_, where);
    return find_settings(planner, options_, named_, [&](const Candidate& candidate, const auto&) {
      return target_seconds(planner, candidate);
    });
  }
  /// Device memory with which everything fits without offload, with 90 % of it.
  [[nodiscard]] std::int64_t enough() const {
    auto options = options_;
    options.zero.recompute = Recompute::full;
    options.zero.coalesce = 1;
    options.zero.stage = 2;
    options.zero.retain_auto = false;
    options.zero.reduce_at = ReduceAt::micro_step;
    const Planner planner(model_, target(0));
    return planner.measure(options).memory.device_total().value / 89 * 100;
  }

  zero::ModelParts model_ = sized_model({});
  zero::EngineOptions options_;
  Named named_;
};

bool offloads(const Setting& setting) {
  return setting.asked.zero.optimizer_place != Place::device;
}

TEST_F(SettingsTest, WithRoomNothingLeavesTheDeviceAndNothingElseIsTried) {
  const auto settings = find(target(100 * kGB));
  ASSERT_EQ(settings.fitting.size(), 1U);
  EXPECT_FALSE(offloads(settings.fitting.front()));
  EXPECT_GT(settings.fitting.front().seconds, 0);
  EXPECT_TRUE(settings.too_large.empty());
  EXPECT_NE(reason(settings, target(100 * kGB)).find("nothing has to leave the device"),
            std::string::npos);
}

TEST_F(SettingsTest, ALittleTooSmallTakesTheSmallestRatioThatFits) {
  const auto where = target(enough() * 8 / 10);
  const auto settings = find(where);
  ASSERT_FALSE(settings.fitting.empty());
  const auto& taken = settings.fitting.front();
  EXPECT_EQ(taken.asked.zero.optimizer_place, Place::host);
  EXPECT_GT(taken.asked.zero.offload_ratio, 0);
  EXPECT_LT(taken.asked.zero.offload_ratio, 1);
  EXPECT_TRUE(fits(taken.chosen, where, kUsableShare));
  const Planner planner(model_, where);
  auto less = taken.asked;
  less.zero.offload_ratio -= 0.05;
  const auto other = choose(planner, less);
  EXPECT_TRUE(!fits(other, where, kUsableShare) || target_seconds(planner, other) >= taken.seconds);
  // The whole state on the host is slower, as AdamW on the host is.
  const auto all =
      std::find_if(settings.fitting.begin(), settings.fitting.end(), [](const auto& s) {
        return offloads(s) && s.asked.zero.offload_ratio == 1 &&
               s.asked.zero.param_place == Place::device;
      });
  ASSERT_NE(all, settings.fitting.end());
  EXPECT_GT(all->seconds, taken.seconds);
  const auto why = reason(settings, where);
  EXPECT_NE(why.find("without offload a rank needs"), std::string::npos) << why;
  EXPECT_NE(why.find("smaller ratios do not fit or are slower"), std::string::npos) << why;
}

TEST_F(SettingsTest, WhereHostMemoryIsShortTheDiskIsTakenAndTheReasonSaysSo) {
  named_.disk = true;
  const auto device = enough() / 2;
  const auto roomy = find(target(device, 100 * kGB));
  ASSERT_FALSE(roomy.fitting.empty());
  EXPECT_EQ(roomy.fitting.front().asked.zero.optimizer_place, Place::host);
  const auto disk = std::find_if(roomy.fitting.begin(), roomy.fitting.end(), [](const auto& s) {
    return s.asked.zero.optimizer_place == Place::nvme;
  });
  ASSERT_NE(disk, roomy.fitting.end());
  const auto host = disk->chosen.memory.host_total().value + 1'000'000;
  const auto where = target(device, host);
  const auto tight = find(where);
  ASSERT_FALSE(tight.fitting.empty());
  const auto& taken = tight.fitting.front();
  EXPECT_EQ(taken.asked.zero.optimizer_place, Place::nvme);
  EXPECT_EQ(taken.asked.zero.optimizer_nvme_path, "/local/nvme");
  EXPECT_GT(taken.chosen.memory.on_disk.value, 0);
  EXPECT_GT(taken.seconds, roomy.fitting.front().seconds);
  EXPECT_NE(reason(tight, where).find("in host memory all ranks would need"), std::string::npos);
  named_.disk = false;
  EXPECT_TRUE(find(where).fitting.empty());
}

TEST_F(SettingsTest, WhatTheUserNamesIsObeyed) {
  named_.optimizer = Place::host;
  named_.stage = 3;
  options_.zero.recompute = Recompute::full;
  for (const auto& setting : find(target(100 * kGB)).fitting) {
    EXPECT_EQ(setting.asked.zero.optimizer_place, Place::host);
    EXPECT_EQ(setting.chosen.options.zero.stage, 3);
    EXPECT_EQ(setting.chosen.options.zero.recompute, Recompute::full);
  }
  named_.ratio = 0.6;
  const auto split = find(target(100 * kGB)).fitting;
  ASSERT_FALSE(split.empty());
  for (const auto& setting : split) EXPECT_EQ(setting.chosen.options.zero.offload_ratio, 0.6);
}

TEST_F(SettingsTest, WhereNothingFitsEachWaySaysWhatItNeeds) {
  const auto where = target(kGB * 14 / 10, kGB / 100);
  const auto settings = find(where);
  EXPECT_TRUE(settings.fitting.empty());
  ASSERT_FALSE(settings.too_large.empty());
  const auto text = render(settings, where);
  EXPECT_NE(text.find("does not fit: stage "), std::string::npos) << text;
  EXPECT_NE(text.find("GiB too much"), std::string::npos) << text;
  EXPECT_NE(text.find("GiB of host memory"), std::string::npos) << text;
}

TEST_F(SettingsTest, ARunWithDeviceAutoTakesWhatTheSettingsTake) {
  options_.zero.stage = 2;
  options_.zero.offload_auto = true;
  const auto roomy = choose(Planner(model_, target(100 * kGB)), options_).options.zero;
  EXPECT_EQ(roomy.optimizer_place, Place::device);
  const auto where = target(enough() * 8 / 10);
  const auto tight = choose(Planner(model_, where), options_);
  EXPECT_EQ(tight.options.zero.optimizer_place, Place::host);
  EXPECT_LT(tight.options.zero.offload_ratio, 1);
  EXPECT_EQ(tight.options.zero.stage, 2);
  EXPECT_TRUE(fits(tight, where, kUsableShare));
}

/// Parameters on the host behind a link that takes as long for a block as its backward computes.
/// While the head computes, which takes as long as ten blocks, more than the next block can be
/// fetched.
class PrefetchTest : public SettingsTest {
 protected:
  PrefetchTest() {
    model_ = model::make_qwen3(model::named_shape("Qwen3-0.6B").value());
    options_.zero.stage = 3;
    options_.zero.optimizer_place = options_.zero.param_place = Place::host;
    options_.zero.prefetch_bucket_size = 1;
    options_.zero.prefetch_auto = true;
    options_.zero.coalesce = 1;
    options_.zero.retain_auto = false;
    options_.zero.recompute = Recompute::full;
    options_.shape = {1, 8192, false};
  }
  [[nodiscard]] Candidate chosen(const Target& where) const {
    return choose(Planner(model_, where), options_);
  }
  [[nodiscard]] Target slow_link(std::int64_t device) const {
    auto where = target(device);
    where.measured.upload = 1e9;
    where.measured.download = where.measured.optimizer = 900e9;
    return where;
  }
};

TEST_F(PrefetchTest, UnitsAreFetchedAsFarAheadAsItShortensTheStep) {
  const auto where = slow_link(100 * kGB);
  const auto deep = chosen(where);
  EXPECT_GT(deep.options.zero.prefetch_bucket_size, 1);
  const Planner planner(model_, where);
  auto shallow = deep.options;
  shallow.zero.prefetch_bucket_size = 1;
  const double before = target_seconds(planner, planner.measure(shallow));
  EXPECT_LT(target_seconds(planner, deep), 0.99 * before);
  options_.zero.prefetch_auto = false;
  EXPECT_EQ(chosen(where).options.zero.prefetch_bucket_size, 1) << "a number that was given stands";
}

TEST_F(PrefetchTest, MemoryBoundsTheDepth) {
  options_.zero.prefetch_auto = false;
  const auto least = chosen(slow_link(100 * kGB)).memory.device_total().value;
  options_.zero.prefetch_auto = true;
  const auto most = chosen(slow_link(100 * kGB)).memory.device_total().value;
  ASSERT_GT(most, least);
  const auto where = slow_link((least + most) / 2 / 9 * 10);
  const auto bound = chosen(where);
  EXPECT_TRUE(fits(bound, where, kUsableShare));
  EXPECT_LT(bound.memory.device_total().value, most);
}

TEST_F(PrefetchTest, AFastLinkNeedsNoDepth) {
  options_.zero.prefetch_bucket_size = 50'000'000;
  auto where = slow_link(200 * kGB);
  where.measured.upload = 900e9;
  EXPECT_EQ(chosen(where).options.zero.prefetch_bucket_size, 50'000'000);
}

}  // namespace
}  // namespace zt::plan
