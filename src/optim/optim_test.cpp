#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "optim/lr_schedule.h"
#include "optim/param_groups.h"

namespace zt::optim {
namespace {

using config::LrScheduleConfig;
using config::ScheduleKind;
using nlohmann::json;

json golden() {
  std::ifstream file(ZT_SOURCE_DIR "/tests/golden/lr_schedules.json");
  return json::parse(file);
}

void expect_rates(const LrScheduleConfig& schedule, const json& file, const json& entry) {
  const auto rates = entry.at("rates").get<std::vector<double>>();
  ASSERT_EQ(rates.size(), 44U);
  for (std::size_t step = 0; step < rates.size(); ++step) {
    // Both sides compute in double; they may order the operations differently.
    EXPECT_NEAR(
        learning_rate(schedule, file.at("base"), file.at("total"), static_cast<std::int64_t>(step)),
        rates[step], 1e-14 * std::abs(rates[step]) + 1e-20)
        << "step " << step << " of " << entry.dump().substr(0, 200);
  }
}

TEST(LrScheduleTest, HuggingFaceKindsGiveTheRatesOfTransformers) {
  const std::map<std::string, ScheduleKind> kinds = {
      {"constant", ScheduleKind::constant},
      {"constant_with_warmup", ScheduleKind::constant_with_warmup},
      {"linear", ScheduleKind::linear},
      {"cosine", ScheduleKind::cosine}};
  const json file = golden();
  ASSERT_EQ(file.at("huggingface").size(), 21U);
  for (const json& entry : file.at("huggingface")) {
    LrScheduleConfig schedule;
    schedule.kind = kinds.at(entry.at("kind"));
    schedule.warmup_steps = entry.at("warmup_steps");
    schedule.num_cycles = entry.at("num_cycles");
    EXPECT_EQ(num_warmup_steps(schedule.warmup_steps, file.at("total")), entry.at("warmup_count"));
    expect_rates(schedule, file, entry);
  }
}

TEST(LrScheduleTest, DeepSpeedKindsGiveTheRatesOfDeepSpeed) {
  const std::map<std::string, ScheduleKind> kinds = {
      {"WarmupLR", ScheduleKind::ds_warmup},
      {"WarmupDecayLR", ScheduleKind::ds_warmup_decay},
      {"WarmupCosineLR", ScheduleKind::ds_warmup_cosine}};
  const json file = golden();
  ASSERT_EQ(file.at("deepspeed").size(), 24U);
  for (const json& entry : file.at("deepspeed")) {
    LrScheduleConfig schedule;
    schedule.kind = kinds.at(entry.at("kind"));
    schedule.warmup_num_steps = entry.at("warmup_num_steps").get<std::int64_t>();
    schedule.total_num_steps = entry.at("total_num_steps").get<std::int64_t>();
    schedule.warmup_log = entry.at("warmup_log");
    schedule.warmup_min_lr = entry.at("warmup_min_lr");
    schedule.warmup_max_lr = entry.at("warmup_max_lr").get<double>();
    schedule.warmup_min_ratio = entry.at("warmup_min_ratio");
    schedule.cos_min_ratio = entry.at("cos_min_ratio");
    expect_rates(schedule, file, entry);
  }
}

TEST(LrScheduleTest, FirstTwoStepsOfWarmupLrRunAtTheMinimum) {
  LrScheduleConfig schedule;
  schedule.kind = ScheduleKind::ds_warmup;
  schedule.warmup_num_steps = 10;
  schedule.warmup_min_lr = 1e-6;
  EXPECT_EQ(learning_rate(schedule, 1e-3, 100, 0), 1e-6);
  EXPECT_EQ(learning_rate(schedule, 1e-3, 100, 1), 1e-6);
  EXPECT_GT(learning_rate(schedule, 1e-3, 100, 2), 1e-6);
}

TEST(LrScheduleTest, AbsentDeepSpeedValuesComeFromTheRun) {
  LrScheduleConfig schedule;
  schedule.kind = ScheduleKind::ds_warmup_decay;
  schedule.warmup_steps = 0.1;
  schedule.warmup_log = false;
  EXPECT_EQ(learning_rate(schedule, 1e-3, 100, 11), 1e-3);         // warm-up of 10 steps is over
  EXPECT_NEAR(learning_rate(schedule, 1e-3, 100, 101), 0, 1e-20);  // 100 steps in all
}

TEST(ParamGroupsTest, DecaysWhatTheTrainerDecays) {
  const json file = golden();
  int num_decayed = 0, num_kept = 0;
  for (const json& entry : file.at("decayed")) {
    const auto name = entry.at("name").get<std::string>();
    // Here we follow Mamba's authors, who mark these, and not the Trainer, which decays them.
    const bool marked =
        name.ends_with(".A_log") || name.ends_with(".D") || name.ends_with(".norm_f.weight");
    const bool expected = entry.at("decayed").get<bool>() && !marked;
    EXPECT_EQ(is_decayed(name, entry.at("layer_norm"), false), expected) << name;
    ++(expected ? num_decayed : num_kept);
    EXPECT_TRUE(is_decayed(name, entry.at("layer_norm"), true));
  }
  EXPECT_GT(num_decayed, 10);
  EXPECT_GT(num_kept, 10);
}

}  // namespace
}  // namespace zt::optim
