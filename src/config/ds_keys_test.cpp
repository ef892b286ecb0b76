#include <gtest/gtest.h>

#include "config/config_test_files.h"
#include "config/ds_schema.h"
#include "config/fields.h"
#include "config/flags.h"

// Walks over the whole table of DeepSpeed keys: each has the effect, the notice or the refusal that
// its row promises.

namespace zt::config {
namespace {

/// `a.b.c` and a value as a document that is valid apart from them.
std::string document(const std::string& path, const std::string& value) {
  const std::size_t dot = path.rfind('.');
  const std::string parent = dot == std::string::npos ? "" : path.substr(0, dot);
  std::string text = "\"" + path.substr(dot == std::string::npos ? 0 : dot + 1) + "\": " + value;
  if (parent == "optimizer.params") text = "\"type\": \"Adam\", \"params\": {" + text + "}";
  if (parent == "optimizer" && path != "optimizer.type") text += ", \"type\": \"AdamW\"";
  if (parent == "scheduler.params") {
    const bool cosine = path.find("ratio") != std::string::npos;
    if (path.find("total") == std::string::npos) text += ", \"total_num_steps\": 50";
    text = "\"type\": \"" + std::string(cosine ? "WarmupCosineLR" : "WarmupDecayLR") +
           "\", \"params\": {" + text + "}";
  }
  if (parent == "zero_optimization" && path != "zero_optimization.stage") text += ", \"stage\": 3";
  if (parent == "optimizer.params" || parent == "scheduler.params") {
    text = "\"" + parent.substr(0, parent.find('.')) + "\": {" + text + "}";
  } else if (!parent.empty()) {
    for (std::string rest = parent; !rest.empty();) {
      const std::size_t last = rest.rfind('.');
      text = "\"" + rest.substr(last == std::string::npos ? 0 : last + 1) + "\": {" + text + "}";
      rest = last == std::string::npos ? "" : rest.substr(0, last);
    }
  }
  const bool is_batch = path == "train_micro_batch_size_per_gpu";
  return (is_batch ? "{" : "{\"train_micro_batch_size_per_gpu\": 1, ") + text + "}";
}

/// A value of the key's type that is neither its default nor quiet.
std::string unusual_value(const DsKey& key) {
  switch (key.type) {
    case KeyType::boolean:
      return !key.quiet.empty() && is_listed("true", key.quiet) ? "false" : "true";
    case KeyType::integer:
      return "8";
    case KeyType::real:
      return "0.25";
    case KeyType::text:
      return "\"x\"";
    case KeyType::list:
      return "[1]";
    case KeyType::object:
      return "{\"a\": 1}";
    case KeyType::any:
      return "1";
  }
  return "";
}

std::string unusual_field_value(const Field& field) {
  const std::string before = field.get(Config{});
  if (field.type == FieldType::text) return "debug";
  const char* candidates[] = {"3", "8", "8192", "0.25", "false", "true", "bf16", "debug"};
  for (const char* text : candidates) {
    Config config;
    if (set_field(config, field, text).empty() && field.get(config) != before) return text;
  }
  return "?";
}

std::string in_json(const std::string& text) {
  return text == "bf16" || text == "debug" ? "\"" + text + "\"" : text;
}

TEST(DsKeysTest, KeysWithAFieldReachIt) {
  for (const DsKey& key : ds_keys()) {
    if (key.field.empty()) continue;
    const Field& field = field_at(key.field);
    const std::string value = unusual_field_value(field);
    const std::string error = config_error([&] {
      const Config config =
          from_deepspeed(document(key.path, in_json(value)), Facts{.world_size = 1});
      Config expected;
      ASSERT_EQ(set_field(expected, field, value), "");
      EXPECT_EQ(field.get(config), field.get(expected)) << key.path;
      EXPECT_EQ(config.origins.at(key.field).key, key.path);
    });
    EXPECT_EQ(error, "") << key.path;
  }
}

TEST(DsKeysTest, KeysWithoutEffectGiveOneNotice) {
  for (const DsKey& key : ds_keys()) {
    if (key.use != KeyUse::notice || key.quiet == "*" || key.path == "checkpoint.tag_validation") {
      continue;
    }
    const std::string error = config_error([&] {
      const Config config = from_deepspeed(document(key.path, unusual_value(key)));
      int named = 0;
      for (const std::string& notice : config.notices) {
        if (contains(notice, key.path + ": no effect: " + key.note)) ++named;
      }
      EXPECT_EQ(named, 1) << key.path;
    });
    EXPECT_EQ(error, "") << key.path;
    const std::size_t bar = key.quiet.find('|');
    if (key.quiet.empty()) continue;
    const Config quiet = from_deepspeed(document(key.path, "\"" + key.quiet.substr(0, bar) + "\""));
    EXPECT_FALSE(has_notice(quiet, key.path)) << key.path;
  }
}

TEST(DsKeysTest, RefusedKeysAreNamed) {
  for (const DsKey& key : ds_keys()) {
    if (key.use != KeyUse::refused) continue;
    const std::string error =
        config_error([&] { (void)from_deepspeed(document(key.path, unusual_value(key))); });
    EXPECT_TRUE(contains(error, key.path + ": ")) << key.path << " -> " << error;
    EXPECT_TRUE(contains(error, "is not built yet (--deepspeed:1)."))
        << key.path << " -> " << error;
    if (key.quiet.empty()) continue;
    const std::string quiet = key.quiet.substr(0, key.quiet.find('|'));
    EXPECT_EQ(config_error([&] { (void)from_deepspeed(document(key.path, "\"" + quiet + "\"")); }),
              "")
        << key.path;
  }
}

TEST(DsKeysTest, WrongTypesAreNamedWithTheirLine) {
  for (const DsKey& key : ds_keys()) {
    if (key.type == KeyType::any) continue;
    const bool holds_object = key.type == KeyType::object;
    const std::string error = config_error(
        [&] { (void)from_deepspeed(document(key.path, holds_object ? "3" : "{\"a\": 1}")); });
    EXPECT_TRUE(
        contains(error, key.path + ": got " + (holds_object ? "3" : "an object") + ", expected "))
        << key.path << " -> " << error;
  }
}

TEST(DsKeysTest, FeaturesAreRefusedWhenOnAndAcceptedWhenOff) {
  for (const DsSection& section : ds_sections()) {
    if (!section.refused_if_on) continue;
    const std::string key = section.switch_key.empty() ? "x" : section.switch_key;
    const std::string on = document(section.path, "{\"" + key + "\": true}");
    const std::string error = config_error([&] { (void)from_deepspeed(on); });
    EXPECT_TRUE(contains(error, section.path + " is not supported (--deepspeed:1)")) << error;
    if (section.switch_key.empty()) continue;
    const Config off = from_deepspeed(document(section.path, "{\"" + key + "\": false}"));
    EXPECT_TRUE(has_notice(off, section.path + ": accepted, it is switched off")) << section.path;
    EXPECT_EQ(config_error([&] { (void)from_deepspeed(document(section.path, "false")); }), "");
  }
}

TEST(DsKeysTest, SwitchesBelowAFeatureCount) {
  const std::string error = config_error([] {
    (void)from_deepspeed(document(
        "compression_training", "{\"row_pruning\": {\"shared_parameters\": {\"enabled\": true}}}"));
  });
  EXPECT_TRUE(contains(error, "compression_training is not supported")) << error;
}

TEST(DsKeysTest, MonitorsGiveANoticeOnAndOff) {
  for (const char* name : {"tensorboard", "wandb", "csv_monitor", "comet", "comms_logger"}) {
    const std::string monitor = name;
    EXPECT_TRUE(has_notice(from_deepspeed(document(monitor, "{\"enabled\": true}")),
                           monitor + ".enabled: no effect: "));
    EXPECT_TRUE(has_notice(from_deepspeed(document(monitor, "{\"enabled\": false}")),
                           monitor + ": accepted, it is switched off"));
  }
}

TEST(DsKeysTest, DismissedSectionsGiveOneNotice) {
  for (const DsSection& section : ds_sections()) {
    if (!section.open || section.refused_if_on) continue;
    const Config config =
        from_deepspeed(document(section.path, "{\"anything\": {\"at\": [\"all\"]}}"));
    EXPECT_TRUE(has_notice(config, section.path + ": no effect: " + section.note)) << section.path;
  }
}

TEST(DsKeysTest, AliasesAreTheSameKey) {
  for (const DsAlias& alias : ds_aliases()) {
    const DsKey* key = find_ds_key(alias.path);
    if (key == nullptr) continue;  // bfloat16, a section
    const std::string value =
        key->field.empty() ? unusual_value(*key) : unusual_field_value(field_at(key->field));
    const Config config = from_deepspeed(document(alias.alias, value));
    if (!key->field.empty()) {
      EXPECT_EQ(config.origins.at(key->field).key, alias.alias);
    }
    const std::string name = alias.path.substr(alias.path.rfind('.') + 1);
    const std::string both = document(alias.alias, value + ", \"" + name + "\": " + value);
    const std::string error = config_error([&] { (void)from_deepspeed(both); });
    EXPECT_TRUE(contains(error, "are two names of one key")) << alias.alias << " -> " << error;
  }
}

TEST(DsKeysTest, UnknownKeysOfStrictSectionsAreErrors) {
  for (const DsSection& section : ds_sections()) {
    if (!section.strict) continue;
    const std::string error =
        config_error([&] { (void)from_deepspeed(document(section.path + ".zzz_unknown", "1")); });
    EXPECT_TRUE(contains(
        error,
        section.path + ".zzz_unknown: unknown key, the nearest known key is " + section.path + "."))
        << section.path << " -> " << error;
  }
}

TEST(DsKeysTest, UnknownKeysElsewhereAreErrorsOnlyWhenNearlyRight) {
  const std::string error =
      config_error([] { (void)from_deepspeed(document("gradient_cliping", "1")); });
  EXPECT_TRUE(contains(error, "gradient_cliping: unknown key, did you mean gradient_clipping?"))
      << error;
  EXPECT_FALSE(
      config_error([] { (void)from_deepspeed(document("gradient-clipping", "1")); }).empty());
  EXPECT_TRUE(has_notice(from_deepspeed(document("_comment", "\"a\"")),
                         "_comment: unknown key, ignored, the nearest known key is comet"));
  EXPECT_TRUE(has_notice(from_deepspeed(document("offload_optimizer", "{}")),
                         "ignored, it belongs to zero_optimization.offload_optimizer"));
}

TEST(DsKeysTest, AFileOfUnknownKeysIsNoConfiguration) {
  std::string text = "{\"train_batch_size\": 1";
  for (int i = 0; i < 10'000; ++i)
    text += ", \"some_quite_long_and_unknown_key_" + std::to_string(i) + "\": 1";
  const std::string error = config_error([&] { (void)from_deepspeed(text + "}"); });
  EXPECT_TRUE(contains(error, "more than 100 unknown keys")) << error.substr(0, 500);
}

}  // namespace
}  // namespace zt::config
