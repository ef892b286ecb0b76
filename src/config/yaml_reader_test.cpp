#include "config/yaml_reader.h"

#include <gtest/gtest.h>

#include <ctime>

namespace zt::config {
namespace {

std::string problems_of(const std::string& text) {
  try {
    (void)read_yaml(text, "x.yaml");
    return "";
  } catch (const JsonError& error) {
    return error.what();
  }
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(YamlReaderTest, ValuesKnowTheirLinesAndKinds) {
  const Value root = read_yaml(
      "# a comment\n"
      "model:\n"
      "  path: /models/qwen3\n"
      "training:\n"
      "  lr: 1e-4\n"
      "  bf16: yes\n"
      "  steps: 2_0\n"
      "  name: '12'\n"
      "  empty:\n"
      "  list: [1, two]\n",
      "x.yaml");
  EXPECT_EQ(root.find("model")->find("path")->text, "/models/qwen3");
  EXPECT_EQ(root.find("model")->find("path")->line, 3);
  const Value& training = *root.find("training");
  EXPECT_EQ(training.members[0].line, 5);
  EXPECT_TRUE(training.find("lr")->is(Value::Kind::number));
  EXPECT_TRUE(training.find("bf16")->is(Value::Kind::boolean));
  EXPECT_TRUE(training.find("steps")->is(Value::Kind::text));
  EXPECT_TRUE(training.find("name")->is(Value::Kind::text));
  EXPECT_TRUE(training.find("empty")->is(Value::Kind::null));
  EXPECT_EQ(training.find("list")->items.size(), 2U);
}

TEST(YamlReaderTest, AnchorsAliasesAndMergeKeysAreFollowed) {
  const Value root = read_yaml(
      "base: &base {lr: 1, steps: 2}\n"
      "training:\n"
      "  <<: *base\n"
      "  lr: 3\n"
      "again: *base\n",
      "x.yaml");
  const Value& training = *root.find("training");
  EXPECT_EQ(training.find("lr")->text, "3");
  EXPECT_EQ(training.find("steps")->text, "2");
  EXPECT_EQ(root.find("again")->find("lr")->text, "1");
}

TEST(YamlReaderTest, EveryDuplicateKeyIsNamedWithBothLines) {
  const std::string problems = problems_of("a: 1\nb: 2\na: 3\nc: {d: 1, d: 2}\n");
  EXPECT_TRUE(has(problems, "duplicate key 'a', first on line 1 (x.yaml:3)")) << problems;
  EXPECT_TRUE(has(problems, "duplicate key 'd', first on line 4 (x.yaml:4)")) << problems;
}

TEST(YamlReaderTest, BadDocumentsAreRefusedWithTheirLine) {
  EXPECT_TRUE(has(problems_of("a: 1\n b: 2\n"), "(x.yaml:2)"));
  EXPECT_TRUE(has(problems_of("a: [1, 2\n"), "x.yaml:"));
  EXPECT_TRUE(has(problems_of(""), "the document is empty"));
  EXPECT_TRUE(has(problems_of("a: 1\n---\nb: 2\n"), "second document"));
  EXPECT_TRUE(has(problems_of("a: !!python/object:os.system x\n"), "is not read"));
  EXPECT_TRUE(has(problems_of("? [1, 2]\n: 3\n"), "expected a word"));
  EXPECT_TRUE(has(problems_of("a: *nothing\n"), "x.yaml:1"));
  EXPECT_TRUE(has(problems_of("a: &a [*a]\n"), "x.yaml:1"));
  EXPECT_TRUE(has(problems_of("<<: 3\na: 1\n"), "expected a map"));
  EXPECT_TRUE(has(problems_of("training:\n\tlr: 1\n"), "begins with a tab, YAML takes spaces"));
  const std::string binary = problems_of(std::string("a: \"\\\0b\"\n", 9));
  EXPECT_TRUE(has(binary, "(x.yaml:1)")) << binary;
  EXPECT_EQ(binary.find('\0'), std::string::npos);
}

TEST(YamlReaderTest, HostileDocumentsEndQuickly) {
  const std::clock_t begun = std::clock();
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    std::string list = last;
    for (int k = 0; k < 8; ++k) list += ", " + last;
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + list + "]\n";
  }
  EXPECT_TRUE(has(problems_of(bomb), "more than 100000 values"));
  EXPECT_TRUE(has(problems_of("a: " + std::string(5000, '[')), "nested deeper than 64"));
  EXPECT_TRUE(has(problems_of("a: " + std::string(2 << 20, 'x')), "at most 1 MiB"));
  std::string keys;
  for (int i = 0; i < 20'000; ++i) keys += "k" + std::to_string(i) + ": 1\n";
  EXPECT_FALSE(problems_of(keys + keys.substr(0, 120'000)).empty());
  EXPECT_LT(static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC, 5);
}

}  // namespace
}  // namespace zt::config
