#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "checkpoint/manifest.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/native_test_save.h"
#include "checkpoint/store.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using namespace testing;

std::vector<std::string> problems(const std::string& folder) { return verify(folder).problems; }

TEST(VerifyTest, EveryFlippedByteOfEveryFileIsFound) {
  const SaveFolder folder;
  auto options = small_save(folder, 2);
  options.tensors.shard_bytes = {6000};
  const auto saved = save_on(3, options);
  std::mt19937 random(5);
  int flips = 0;
  for (const auto& name : files_below(saved)) {
    const auto good = read_file(saved + "/" + name);
    for (int round = 0; round < 24; ++round) {
      auto bytes = good;
      const auto at = round == 0 ? 0 : round == 1 ? bytes.size() - 1 : random() % bytes.size();
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
      write_file(saved + "/" + name, bytes);
      ++flips;
      const auto found = problems(saved);
      ASSERT_FALSE(found.empty()) << name << " byte " << at;
      EXPECT_NE(found.front().find(name), std::string::npos) << found.front();
    }
    write_file(saved + "/" + name, good);
  }
  EXPECT_GT(flips, 300);
  EXPECT_TRUE(problems(saved).empty());
}

TEST(VerifyTest, TornMissingAndExtraFilesAreAllListed) {
  const SaveFolder folder;
  const auto saved = save_on(2, small_save(folder, 2));
  const auto good = read_file(saved + "/zero/master.safetensors");
  write_file(saved + "/zero/master.safetensors", good.substr(0, good.size() - 1));
  fs::remove(saved + "/tokenizer.json");
  write_file(saved + "/model.safetensors.index.json", "{}");
  fs::create_directories(saved + "/zero/more/inside");
  const auto found = problems(saved);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_THROW(NativeCheckpoint{saved}, CheckpointError);
  std::string all;
  for (const auto& line : found) all += line + "\n";
  for (const char* part : {"zero/master.safetensors: got", "tokenizer.json",
                           "model.safetensors.index.json: is not", "zero/more: is not"}) {
    EXPECT_NE(all.find(part), std::string::npos) << all;
  }
  write_file(saved + "/zero/master.safetensors", good + "x");
  EXPECT_EQ(problems(saved).size(), 4U);
}

TEST(VerifyTest, WhatUsersPutBesideTheFilesIsNotedAndMakesNothingWrong) {
  const SaveFolder folder;
  const auto saved = save_on(1, small_save(folder, 2));
  write_file(saved + "/README.md", "a model card");
  fs::create_directories(saved + "/.cache/huggingface");
  const auto found = verify(saved);
  EXPECT_TRUE(found.problems.empty());
  EXPECT_EQ(found.notes.size(), 2U);
  EXPECT_EQ(find_resumable(folder.path("out"), exchange_alone()).folder, saved);
  write_file(saved + "/zero/exp_avg-00001-of-00002.safetensors", "of somebody else");
  EXPECT_EQ(verify(saved).problems.size(), 1U);
}

TEST(VerifyTest, RanksShareTheReadingAndFindAllTogether) {
  const SaveFolder folder;
  auto options = small_save(folder, 2);
  const auto saved = save_on(4, options);
  const auto name = saved + "/zero/exp_avg.safetensors";
  auto bytes = read_file(name);
  bytes[bytes.size() / 2] = static_cast<char>(~bytes[bytes.size() / 2]);
  write_file(name, bytes);
  std::int64_t read = 0;
  std::size_t found = 0;
  for (int part = 0; part < 5; ++part) {
    const auto result = verify(saved, part, 5);
    read += result.read.value;
    found += result.problems.size();
  }
  EXPECT_EQ(read, verify(saved).read.value);
  EXPECT_EQ(found, 1U);
}

TEST(VerifyTest, AFolderWithoutManifestAndNoFolderAreProblems) {
  const SaveFolder folder;
  EXPECT_EQ(problems(folder.path("source")).size(), 1U);
  EXPECT_EQ(problems(folder.path("nothing")).size(), 1U);
}

TEST(VerifyTest, WhatOnePartAloneCannotReadIsSaidByThatPart) {
  // A disk gives errors where they are, and a machine may see no file at all: every part speaks for
  // itself, or a checkpoint that cannot be read would count as whole.
  const SaveFolder folder;
  const auto saved = save_on(2, small_save(folder, 2));
  fs::remove(saved + "/zero/exp_avg.safetensors");
  for (int part = 0; part < 3; ++part) {
    const auto found = verify(saved, part, 3).problems;
    ASSERT_EQ(found.size(), 1U) << "part " << part;
    EXPECT_NE(found[0].find("exp_avg.safetensors"), std::string::npos) << found[0];
    EXPECT_EQ(verify(folder.path("nothing"), part, 3).problems.size(), 1U);
  }
  for (const auto& error :
       on_ranks(2, [&](const RankExchange& exchange) { require_whole(saved, exchange); })) {
    const auto first = error.find("exp_avg.safetensors:");
    ASSERT_NE(first, std::string::npos) << error;
    EXPECT_EQ(error.find("exp_avg.safetensors:", first + 1), std::string::npos) << error;
  }
}

std::string refusal(const std::string& text) {
  try {
    static_cast<void>(Manifest::parse(text, "m"));
    return "";
  } catch (const CheckpointError& error) {
    return error.what();
  }
}

/// A manifest with a right hash around any body.
std::string sealed(const std::string& body) {
  Manifest manifest{1, {{"a", 1, {{0, 1, 7}}}}};
  const auto text = manifest.text();
  // The hash is that of the body: taken from a message of the parser itself.
  const auto wrong = text.substr(0, text.find("{\"format\"")) + body + "}\n";
  const auto message = refusal(wrong);
  const auto at = message.find("its hash is ");
  if (at == std::string::npos) return wrong;
  auto right = wrong;
  return right.replace(wrong.find(": \"") + 3, 16, message.substr(at + 12, 16));
}

TEST(ManifestTest, HostileManifestsAreRefusedWithTheRightHash) {
  const auto body = [](const std::string& files) {
    return R"({"format": "zerotrain checkpoint", "version": 1, "hash": "xxh3-64", "global_step": 1, "files": [)" +
           files + "]}";
  };
  const auto file = [](const std::string& path, const std::string& size,
                       const std::string& pieces) {
    return R"({"path": ")" + path + R"(", "size": )" + size + R"(, "pieces": [)" + pieces + "]}";
  };
  const std::string piece = R"([0, 4, "0123456789abcdef"])";
  ASSERT_EQ(refusal(sealed(body(file("a", "4", piece)))), "");
  for (const auto& text : {file("../a", "4", piece),
                           file("/etc/passwd", "4", piece),
                           file("a/../../b", "4", piece),
                           file("zero/../a", "4", piece),
                           file(".hidden", "4", piece),
                           file("a/b/c", "4", piece),
                           file("a//b", "4", piece),
                           file("a/", "4", piece),
                           file("", "4", piece),
                           file("a\\u0000b", "4", piece),
                           file("a b", "4", piece),
                           file("a\\\\b", "4", piece),
                           file("a", "5", piece),
                           file("a", "3", piece),
                           file("a", "-4", piece),
                           file("a", "4.0", piece),
                           file("a", "1e3", piece),
                           file("a", "18446744073709551615", piece),
                           file("a", "4", R"([0, 4, "0123456789abcdeg"])"),
                           file("a", "4", R"([0, 4, "01"])"),
                           file("a", "4", R"([0, 4])"),
                           file("a", "4", R"([4, 0, "0123456789abcdef"])"),
                           file("a", "4", piece + "," + piece),
                           file("a", "0", R"([0, 0, "0123456789abcdef"])"),
                           file("a", "8", piece + R"(, [5, 8, "0123456789abcdef"])"),
                           file("a", "8", piece + R"(, [3, 8, "0123456789abcdef"])"),
                           file("a", "4", "7"),
                           file("b", "4", piece) + "," + file("a", "4", piece),
                           file("a", "4", piece) + "," + file("a", "4", piece),
                           std::string("7"),
                           std::string("{}"),
                           std::string()}) {
    EXPECT_NE(refusal(sealed(body(text))), "") << text;
  }
  for (const std::string text : {"", "[]", "{}", "7", "{\"format\": \"zerotrain checkpoint\"}"}) {
    EXPECT_NE(refusal(sealed(text)), "") << text;
    EXPECT_NE(refusal(text), "") << text;
  }
  auto later = body(file("a", "4", piece));
  later.replace(later.find("\"version\": 1"), 12, "\"version\": 2");
  EXPECT_NE(refusal(sealed(later)).find("format version 2, expected 1"), std::string::npos);
}

TEST(ManifestTest, TextComesBack) {
  const Manifest manifest{7, {{"a", 9, {{0, 5, ~0ULL}, {5, 9, 1}}}, {"zero/b", 0, {}}}};
  const auto read = Manifest::parse(manifest.text(), "m");
  EXPECT_EQ(read.global_step, 7);
  ASSERT_EQ(read.files.size(), 2U);
  EXPECT_EQ(read.files[0].pieces[0].hash, ~0ULL);
  EXPECT_EQ(read.files[0].pieces[1].begin, 5);
  EXPECT_EQ(read.files[1].path, "zero/b");
  EXPECT_EQ(read.text(), manifest.text());
}

}  // namespace
}  // namespace zt::checkpoint
