#include "config/json_reader.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace zt::config {
namespace {

std::string error_of(const std::string& text) {
  try {
    const Value ignored = read_json(text, "a.json");
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

TEST(JsonReaderTest, ReadsStrictJsonAndKeepsLines) {
  const Value root =
      read_json("{\n \"a\": 1,\n \"b\": {\"c\": [true, null, \"x\\u00e9\\ud83d\\ude00\"]}\n}", "a");
  ASSERT_EQ(root.members.size(), 2U);
  EXPECT_EQ(root.find("a")->text, "1");
  EXPECT_EQ(root.find("a")->line, 2);
  const Value& list = *root.find("b")->find("c");
  ASSERT_EQ(list.items.size(), 3U);
  EXPECT_TRUE(list.items[0].is(Value::Kind::boolean));
  EXPECT_TRUE(list.items[1].is(Value::Kind::null));
  EXPECT_EQ(list.items[2].text, "x\xc3\xa9\xf0\x9f\x98\x80");
}

TEST(JsonReaderTest, Utf16IsNamedWithTheCommandThatConvertsIt) {
  const std::string utf16("\xff\xfe{\0}\0", 6);
  EXPECT_NE(error_of(utf16).find("the text is UTF-16LE, expected UTF-8 (a.json). Convert it: iconv "
                                 "-f UTF-16LE -t UTF-8."),
            std::string::npos)
      << error_of(utf16);
}

TEST(JsonReaderTest, ReadsCommentsTrailingCommasAndUnquotedText) {
  const Value root = read_json(
      "# head\n{ // c\n  stage: 2,\n  /* two\n lines */ \"sizes\": [1, 2e8,],\n"
      "  nvme_path: /local_nvme/x  # disk\n  device: cpu\n  url: http://h/p\n  inner: {k: v}, \n"
      "  text: '''many\n lines'''\n  quoted: 'it'\n}\n// end",
      "a");
  EXPECT_EQ(root.find("stage")->text, "2");
  EXPECT_EQ(root.find("sizes")->items.size(), 2U);
  EXPECT_EQ(root.find("sizes")->line, 5);
  EXPECT_EQ(root.find("nvme_path")->text, "/local_nvme/x");
  EXPECT_EQ(root.find("device")->text, "cpu");
  EXPECT_EQ(root.find("url")->text, "http://h/p");
  EXPECT_EQ(root.find("inner")->find("k")->text, "v");
  EXPECT_EQ(root.find("text")->text, "many\n lines");
  EXPECT_EQ(root.find("quoted")->text, "it");
}

TEST(JsonReaderTest, KeepsNumbersAsTextAndTellsThemFromStrings) {
  const Value root =
      read_json("{a: 2e8, b: -1.5, c: 1e400, d: NaN, e: -Infinity, f: \"8\", g: 1.2.3}", "a");
  for (const char* key : {"a", "b", "c", "d", "e", "g"}) {
    EXPECT_TRUE(root.find(key)->is(Value::Kind::number)) << key;
  }
  EXPECT_TRUE(root.find("f")->is(Value::Kind::text));
}

TEST(JsonReaderTest, NamesEveryDuplicateKeyWithBothLines) {
  const std::string error = error_of("{\"a\": 1,\n\"b\": {\"c\": 1,\n\"c\": 2},\n\"a\": 3}");
  EXPECT_NE(error.find("duplicate key 'c', first on line 2 (a.json:3). Keep one"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("duplicate key 'a', first on line 1 (a.json:4). Keep one"),
            std::string::npos)
      << error;
}

TEST(JsonReaderTest, RefusesBrokenTextWithItsLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "empty"},
      {"   // only a comment", "empty"},
      {"{\n\"a\": 1", "opened on line 1 is not closed"},
      {"{\"a\" 1}", "expected ':' after key 'a'"},
      {"{\"a\": \"x\n\"}", "string is not closed"},
      {"{\"a\": }", "expected a value"},
      {"{: 1}", "expected a key"},
      {"{} x", "after the end"},
      {"{a: \"\\q\"}", "unknown escape"},
      {"{a: \"\\ud800\"}", "surrogate"},
      {"{a: \"\\u12g4\"}", "hexadecimal"},
      {"{ /* a", "comment opened on line 1"},
      {"{a: '''x", "text opened on line 1"},
      {"[,,]", "expected a value"},
      {"{", "not closed"},
      {"{\"a", "not closed"}};
  for (const auto& [text, expected] : cases) {
    const std::string error = error_of(text);
    EXPECT_NE(error.find(expected), std::string::npos) << text << " -> " << error;
    EXPECT_NE(error.find("a.json:"), std::string::npos) << error;
  }
}

TEST(JsonReaderTest, LimitsDepthAndSize) {
  EXPECT_NE(error_of(std::string(100'000, '[')).find("deeper than 64"), std::string::npos);
  std::string nested;
  for (int i = 0; i < 100'000; ++i) nested += "{a:";
  EXPECT_NE(error_of(nested).find("deeper than 64"), std::string::npos);
  EXPECT_NE(error_of(std::string((1U << 20) + 1, ' ')).find("1 MiB"), std::string::npos);
}

TEST(JsonReaderTest, SkipsAByteOrderMarkAndKeepsNulCharactersInStrings) {
  EXPECT_EQ(read_json("\xef\xbb\xbf{a: 1}", "a").find("a")->text, "1");
  EXPECT_EQ(read_json(std::string("{a: \"x\0y\"}", 10), "a").find("a")->text.size(), 3U);
}

}  // namespace
}  // namespace zt::config
