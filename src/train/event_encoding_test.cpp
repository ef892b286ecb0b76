#include "train/event_encoding.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/test_folder.h"
#include "train/tensorboard.h"

namespace zt::train {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text += static_cast<char>(value);
  return text;
}

TEST(EventEncodingTest, ChecksumsAreThoseOfTheStandard) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);            // the check value of CRC-32C
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(EventEncodingTest, MaskRotatesAndAddsItsConstant) {
  EXPECT_EQ(masked_crc32c(""), 0xA282EAD8u);
  EXPECT_EQ(masked_crc32c("123456789"), ((0xE3069283u >> 15) | (0xE3069283u << 17)) + 0xA282EAD8u);
}

TEST(EventEncodingTest, RecordHasLengthDataAndBothChecksums) {
  const auto record = framed("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), bytes({3, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(record.substr(12, 3), "abc");
}

TEST(EventEncodingTest, ScalarEventIsTheMessageByteForByte) {
  // wall_time 1.0 | step 300 | summary { value { tag "a", simple_value 0.5 } }
  EXPECT_EQ(scalar_event(1.0, 300, "a", 0.5),
            bytes({0x09, 0,    0,    0,    0,    0,    0,   0xF0, 0x3F, 0x10, 0xAC, 0x02,
                   0x2A, 0x0A, 0x0A, 0x08, 0x0A, 0x01, 'a', 0x15, 0,    0,    0,    0x3F}));
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(TensorBoardTest, EveryLogIsOnTheDiskAtOnce) {
  const TestFolder folder;
  TensorBoard board(folder.root(), [] { return 1700000000.25; });
  TensorBoard second(folder.root(), [] { return 1700000000.25; });
  EXPECT_NE(board.path(), second.path());
  EXPECT_NE(board.path().find("/events.out.tfevents.1700000000."), std::string::npos);
  board.on_log({.step = {.step = 7, .loss_scale = 1024}, .loss = 2.5});
  const auto text = file_text(board.path());
  EXPECT_EQ(text.rfind(framed(version_event(1700000000.25)), 0), 0u);
  for (const auto* tag : {"train/loss", "train/grad_norm", "train/learning_rate", "train/epoch",
                          "train/loss_scale"}) {
    EXPECT_NE(text.find(tag), std::string::npos) << tag;
  }
  EXPECT_NE(text.find(framed(scalar_event(1700000000.25, 7, "train/loss", 2.5))),
            std::string::npos);
}

TEST(TensorBoardTest, EvaluationsHaveTheirOwnTags) {
  EXPECT_EQ(curve_tag("eval_loss"), "eval/loss");
  EXPECT_EQ(curve_tag("train_loss"), "train/train_loss");
  EXPECT_EQ(curve_tag("loss"), "train/loss");
}

TEST(TensorBoardTest, FolderNameHasDateAndHost) {
  const auto name = default_logging_dir(1700000000);
  EXPECT_EQ(name.rfind("runs/Nov1", 0), 0u) << name;  // 14 or 15 November 2023, by time zone
  EXPECT_EQ(name.find('/', 5), std::string::npos);
}

}  // namespace
}  // namespace zt::train
