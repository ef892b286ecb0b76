#include "generate/results.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/test_folder.h"

namespace zt::generate {
namespace {

class ResultsTest : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    return files_.write(name, text);
  }
  static std::string read(const std::filesystem::path& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  static std::string refusal(const std::string& path) {
    try {
      (void)read_prompts(path);
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  }

  TestFolder files_;
  const std::filesystem::path folder_ = files_.root();
};

TEST_F(ResultsTest, PromptsComeFromEitherKeyOrFromPlainLines) {
  const auto json = read_prompts(write("a.jsonl",
                                       "{\"prompt\": \"one\", \"id\": 7}\n\n"
                                       "{\"text\": \"two\"}\r\n"));
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0].text, "one");
  EXPECT_EQ(json[1].text, "two");
  EXPECT_EQ(json[1].line, 3);
  const auto plain = read_prompts(write("a.txt", "first \r\n\n{\"prompt\": 1}"));
  ASSERT_EQ(plain.size(), 2U);
  EXPECT_EQ(plain[0].text, "first ");
  EXPECT_EQ(plain[1].text, "{\"prompt\": 1}");
}

TEST_F(ResultsTest, DevicesPipesAndFoldersAreNeverReplacedAndLinksStay) {
  const auto pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const auto& path : {pipe, folder_}) {
    EXPECT_THROW(ResultFile(path.string(), 0), FileError);
  }
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  EXPECT_FALSE(std::filesystem::exists(pipe.string() + ".partial"));

  (void)write("real.jsonl", "before");
  std::filesystem::create_symlink("real.jsonl", folder_ / "link");
  ResultFile file((folder_ / "link").string(), 1);
  file.add(0, "after");
  file.finish();
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link"));
  EXPECT_EQ(read(folder_ / "real.jsonl"), "after\n");
}

TEST_F(ResultsTest, EveryBadLineIsNamedWithItsPlace) {
  const auto message =
      refusal(write("bad.jsonl",
                    "{\"prompt\": \"good\"}\n{\"prompt\"\n[1]\n{\"question\": \"x\"}\n"
                    "{\"prompt\": 3}\n{\"text\": \"\"}\n"));
  EXPECT_NE(message.find("5 lines"), std::string::npos) << message;
  for (const char* part :
       {"bad.jsonl:2: is not JSON", ":3: got array, expected an object",
        ":4: has neither `prompt` nor `text`", ":5: `prompt`: got number", ":6: `text` is empty"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << "\n" << message;
  }
}

TEST_F(ResultsTest, AFileWithoutPromptsOrNoFileIsRefused) {
  EXPECT_NE(refusal(write("empty.txt", " \n\n")).find("holds no prompt"), std::string::npos);
  EXPECT_NE(refusal((folder_ / "none.txt").string()).find("cannot be read"), std::string::npos);
  EXPECT_NE(refusal(folder_.string()).find("cannot be read"), std::string::npos);
}

TEST_F(ResultsTest, LinesAppearInTheOrderOfTheInputAndThePathWhenAllAreThere) {
  const auto path = folder_ / "out" / "results.jsonl";
  ResultFile file(path.string(), 3);
  file.add(1, "b");
  EXPECT_EQ(file.next(), 0);
  EXPECT_EQ(read(path.string() + ".partial"), "");
  file.add(0, "a");
  EXPECT_EQ(read(path.string() + ".partial"), "a\nb\n");
  EXPECT_FALSE(std::filesystem::exists(path));
  file.add(2, "c");
  file.finish();
  EXPECT_EQ(read(path), "a\nb\nc\n");
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".partial"));
}

TEST_F(ResultsTest, AnEarlierResultStaysUntilTheNewOneIsWhole) {
  const auto path = write("results.jsonl", "old\n");
  {
    ResultFile stopped(path, 2);
    stopped.add(0, "new");
  }
  EXPECT_EQ(read(path), "old\n");
}

TEST_F(ResultsTest, AFolderThatCannotBeWrittenIsNamed) {
  const auto blocked = write("file", "x");
  EXPECT_THROW(ResultFile(blocked + "/results.jsonl", 1), FileError);
}

TEST_F(ResultsTest, ALineKeepsTheFieldsOfItsPrompt) {
  const PromptLine prompt{.text = "one", .fields = R"({"id": 7, "text": "one"})"};
  const auto line = nlohmann::json::parse(result_line(
      prompt, 2, {.index = 0, .tokens = {5, 6, 9}, .finish = Finish::eos}, "t\n", true));
  EXPECT_EQ(line["id"], 7);
  EXPECT_EQ(line["prompt"], "one");
  EXPECT_EQ(line["completion"], "t\n");
  EXPECT_EQ(line["prompt_tokens"], 2);
  EXPECT_EQ(line["completion_tokens"], 3);
  EXPECT_EQ(line["finish_reason"], "eos");
  EXPECT_EQ(line["completion_ids"], (std::vector<int>{5, 6, 9}));
}

}  // namespace
}  // namespace zt::generate
