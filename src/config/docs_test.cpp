#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "config/config_test_files.h"
#include "config/ds_schema.h"
#include "config/flags_table.h"
#include "config/layer.h"
#include "config/tools.h"

// docs/config.md and the tables say the same.

namespace zt::config {
namespace {

std::string documentation() {
  std::ifstream file(ZT_SOURCE_DIR "/docs/config.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ConfigDocsTest, EveryDeepSpeedKeyIsDescribed) {
  const std::string text = documentation();
  for (const DsKey& key : ds_keys()) {
    if (key.quiet == "*") {
      EXPECT_TRUE(contains(text, "`" + key.path + "`")) << key.path;
      continue;
    }
    const std::string row = "| `" + key.path + "` | " +
                            documented_effect(key.use == KeyUse::effect, key.use == KeyUse::refused,
                                              key.quiet, key.note) +
                            " | Ds";
    const std::string batch_row = row.substr(0, row.size() - 2) + "Batch";
    EXPECT_TRUE(contains(text, row) || contains(text, batch_row)) << row;
  }
  for (const DsSection& section : ds_sections()) {
    EXPECT_TRUE(contains(text, "| `" + section.path + "` | ")) << section.path;
    EXPECT_TRUE(contains(text, section.note)) << section.path;
  }
  for (const DsAlias& alias : ds_aliases()) {
    EXPECT_TRUE(contains(text, "| `" + alias.alias + "` | `" + alias.path + "`")) << alias.alias;
  }
}

TEST(ConfigDocsTest, EveryFlagIsDescribed) {
  const std::string text = documentation();
  for (const Flag& flag : flag_table()) {
    const std::string row = documented(flag) + " | ";
    EXPECT_TRUE(contains(text, row)) << row;
  }
  for (const FlagAlias& alias : flag_aliases()) {
    EXPECT_TRUE(contains(text, "| `--" + alias.alias + "` | `--" + alias.name + "` |"))
        << alias.alias;
  }
}

TEST(ConfigDocsTest, EveryEffectOnMemoryAndSpeedIsDescribed) {
  const std::string text = documentation();
  for (const Effect& effect : effects()) {
    EXPECT_TRUE(contains(text, documented(effect) + "\n")) << documented(effect);
  }
}

TEST(ConfigDocsTest, EveryTaskKeyIsDescribed) {
  const std::string text = documentation();
  for (const TaskKey& key : task_keys()) {
    const std::string section = key.section;
    const std::string name = (section.empty() ? "" : section + ".") + key.key;
    EXPECT_TRUE(contains(text, "`" + name + "`")) << name;
  }
}

TEST(ConfigDocsTest, EveryNamedTestExists) {
  std::string sources;
  for (const char* name :
       {"batch_test", "accelerate_test", "checkpoint_flags_test", "ds_config_test", "ds_keys_test",
        "flags_test", "preset_test", "resolve_test", "task_file_test"}) {
    std::ifstream file(std::string(ZT_SOURCE_DIR "/src/config/") + name + ".cpp");
    std::ostringstream source;
    source << file.rdbuf();
    sources += source.str();
  }
  std::istringstream lines(documentation());
  int rows = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t start = line.rfind("Test.");
    if (line.rfind("| `", 0) != 0 || start == std::string::npos) continue;
    const std::string name = line.substr(start + 5, line.rfind(" |") - start - 5);
    EXPECT_TRUE(contains(sources, ", " + name + ")")) << line;
    ++rows;
  }
  EXPECT_GT(rows, 200);
}

}  // namespace
}  // namespace zt::config
