#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/test_folder.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;

class SafetensorsTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return folder_.path("model.safetensors"); }

  void put(const std::string& bytes) const { folder_.write("model.safetensors", bytes); }
  /// A file of this header and that many bytes of values.
  void put_file(const std::string& header, std::size_t payload) const {
    std::string bytes(sizeof(std::uint64_t), '\0');
    const std::uint64_t length = header.size();
    std::memcpy(bytes.data(), &length, sizeof(length));
    put(bytes + header + std::string(payload, '\1'));
  }
  [[nodiscard]] std::string error_of_open() const {
    try {
      const SafetensorsFile file(path());
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  }

  TestFolder folder_;
};

std::string one(const std::string& entry) { return R"({"a":)" + entry + "}"; }

TEST_F(SafetensorsTest, ReturnsWhatWasWrittenInEverySlice) {
  std::vector<float> a{1.5F, -2.0F, 3.25F, 4.0F, 0.0F, -0.5F};
  std::vector<std::uint16_t> b{0x3f80, 0xbf80, 0x4049};
  SafetensorsWriter writer(
      path(), {{"a", DType::f32, {2, 3}}, {"b", DType::bf16, {3}}, {"none", DType::f32, {0, 4}}});
  writer.write({a.data(), 6, DType::f32});
  writer.write({b.data(), 3, DType::bf16});
  writer.write({nullptr, 0, DType::f32});
  EXPECT_FALSE(fs::exists(path())) << "it has its name only when complete";
  writer.finish();
  const SafetensorsFile file(path());
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.tensors().at("a").shape, (std::vector<std::int64_t>{2, 3}));
  for (std::size_t begin = 0; begin < a.size(); ++begin) {
    for (std::size_t count = 0; begin + count <= a.size(); ++count) {
      std::vector<float> values(count);
      file.read("a", static_cast<std::int64_t>(begin), values);
      EXPECT_TRUE(
          std::equal(values.begin(), values.end(), a.begin() + static_cast<std::ptrdiff_t>(begin)));
    }
  }
  std::vector<float> wide(2);
  file.read("b", 1, wide);
  EXPECT_EQ(wide[0], -1.0F);
  EXPECT_EQ(wide[1], std::bit_cast<float>(0x40490000U));
}

TEST_F(SafetensorsTest, ReadsHalfPrecisionAtOddAddresses) {
  // One u8 before it: the fp16 values are at an odd offset.
  put_file(
      R"({"h":{"dtype":"F16","shape":[2],"data_offsets":[1,5]},"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      5);
  const SafetensorsFile file(path());
  std::vector<float> values(2);
  file.read("h", 0, values);
  EXPECT_EQ(values[0], 257.0F * 0x1p-24F);  // 0x0101 is a denormal
  EXPECT_THROW(file.read("u", 0, std::span(values).first(1)), FileError);
  EXPECT_THROW(file.read("x", 0, values), FileError);
}

TEST_F(SafetensorsTest, UnfinishedFilesAreRemoved) {
  { const SafetensorsWriter writer(path(), {{"a", DType::f32, {4}}}); }
  EXPECT_TRUE(fs::is_empty(folder_.root()));
  EXPECT_THROW(SafetensorsWriter(folder_.path("no/x"), {}), FileError);
}

TEST_F(SafetensorsTest, NamesWhatIsWrongWithTheHeader) {
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  struct Case {
    std::string header;
    std::size_t payload;
    std::string text;
  };
  const std::vector<Case> cases{
      {"{}x", 0, "not a JSON object"},
      {" {}", 0, "start with"},
      {"[]", 0, "start with"},
      {one(R"({"dtype":"F32","shape":[2]})"), 8, "lacks"},
      {one(R"({"dtype":"Q4","shape":[2],"data_offsets":[0,8]})"), 8, "Q4 is not supported"},
      {one(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), 8, "non-negative"},
      {one(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), 8, "non-negative"},
      {one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), 8, "disagree"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), 8, "disagree"},
      {one(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]})"), 0,
       "disagree"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999]})"), 8,
       "non-negative"},
      {one("{" + good + "}"), 4, "cut short"},
      {one("{" + good + "}"), 9, "has a tail"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), 8, "hole at byte 0"},
      {R"({"a":{)" + good + R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12,
       "overlap"},
      {R"({"a":{)" + good + R"(},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})", 16,
       "twice"},
      {R"({"__metadata__":{"x":1}})", 0, "__metadata__"},
      {"{\"\xff\":{" + good + "}}", 8, "not a JSON object"}};
  for (const auto& it : cases) {
    put_file(it.header, it.payload);
    EXPECT_NE(error_of_open().find(it.text), std::string::npos)
        << it.header << " gave: " << error_of_open();
  }
}

TEST_F(SafetensorsTest, RefusesShortFilesAndHugeHeaders) {
  for (const std::string& bytes :
       {std::string(), std::string("\1\0\0", 3), std::string(8, '\0'), std::string(8, '\xff'),
        std::string("\x40\0\0\0\0\0\0\0{}", 10)}) {
    put(bytes);
    EXPECT_NE(error_of_open(), "") << bytes.size();
  }
  fs::remove(path());
  EXPECT_NE(error_of_open().find("cannot be opened"), std::string::npos);
  fs::create_directory(path());
  EXPECT_NE(error_of_open().find("not a regular file"), std::string::npos);
}

TEST_F(SafetensorsTest, FilesCutAtAnyByteAreRefused) {
  std::vector<float> values(4, 1.0F);
  SafetensorsWriter writer(path(), {{"a", DType::f32, {3}}, {"scalar", DType::f32, {}}});
  writer.write({values.data(), 3, DType::f32});
  writer.write({values.data(), 1, DType::f32});
  writer.finish();
  std::ifstream in(path(), std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  ASSERT_EQ(error_of_open(), "");
  for (std::size_t length = 0; length < good.size(); ++length) {
    put(good.substr(0, length));
    EXPECT_NE(error_of_open(), "") << length << " of " << good.size() << " bytes";
  }
  put(good + "x");
  EXPECT_NE(error_of_open(), "") << "one byte too many";
}

TEST_F(SafetensorsTest, ScalarsHaveNoDimensionsAndOneValue) {
  float value = 2.5F;
  SafetensorsWriter writer(path(), {{"scalar", DType::f32, {}}});
  writer.write({&value, 1, DType::f32});
  writer.finish();
  const SafetensorsFile file(path());
  EXPECT_TRUE(file.tensors().at("scalar").shape.empty());
  EXPECT_EQ(file.tensors().at("scalar").numel(), 1);
  std::vector<float> read(1);
  file.read("scalar", 0, read);
  EXPECT_EQ(read[0], 2.5F);
}

// Either the file opens and every tensor can be read, or FileError: nothing else, whatever the
// bytes.
TEST_F(SafetensorsTest, DamagedFilesNeverCrash) {
  std::vector<float> values(6, 1.0F);
  SafetensorsWriter writer(path(), {{"weight", DType::f32, {2, 3}}, {"norm", DType::bf16, {3}}});
  writer.write({values.data(), 6, DType::f32});
  writer.write({values.data(), 3, DType::bf16});
  writer.finish();
  std::ifstream in(path(), std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  const std::string alphabet = "{}[]\",:0123456789-eE.\\u\x80\xff ";
  std::mt19937 random(11);
  int opened = 0;
  constexpr int kRounds = 1000;
  for (int round = 0; round < kRounds; ++round) {
    auto bytes = good;
    for (auto n = 1 + random() % 3; n > 0; --n) {
      const auto at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = alphabet[random() % alphabet.size()];
          break;
        case 2:
          bytes.erase(at, 1 + random() % 4);
          break;
        default:
          bytes.insert(at, 1, alphabet[random() % alphabet.size()]);
      }
      if (bytes.empty()) break;
    }
    put(bytes);
    try {
      const SafetensorsFile file(path());
      for (const auto& [name, entry] : file.tensors()) {
        if (entry.dtype != DType::f32 && entry.dtype != DType::bf16 && entry.dtype != DType::f16)
          continue;
        std::vector<float> read(static_cast<std::size_t>(entry.numel()));
        file.read(name, 0, read);
      }
      ++opened;
    } catch (const FileError&) {
    }
  }
  EXPECT_GT(opened, 0);
  EXPECT_LT(opened, kRounds);
}

}  // namespace
}  // namespace zt::checkpoint
