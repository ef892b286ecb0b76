#include "checkpoint/torch_file.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/test_folder.h"
#include "checkpoint/crc32.h"
#include "checkpoint/pickle_writer.h"
#include "checkpoint/torch_weights.h"
#include "checkpoint/torch_writer.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using Shape = std::vector<std::int64_t>;

class TorchFileTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path(name); }

  /// {'a': fp32 [2, 3], 'b': the last two elements of a, 'c': bf16 [4], 'd': empty, 'n': 7}
  [[nodiscard]] std::string write_sample() const {
    const std::vector<StorageRef> storages{
        {"0", TorchDType::f32, 6}, {"1", TorchDType::f32, 0}, {"2", TorchDType::bf16, 4}};
    PickleWriter pickle;
    pickle.begin_dict();
    pickle.text("a");
    pickle.tensor(storages[0], 0, Shape{2, 3});
    pickle.text("b");
    pickle.tensor(storages[0], 4, Shape{2});
    pickle.text("c");
    pickle.tensor(storages[2], 0, Shape{4});
    pickle.text("d");
    pickle.tensor(storages[1], 0, Shape{0});
    pickle.item("n", std::int64_t{7});
    pickle.item("large", std::int64_t{-5'000'000'000});
    pickle.item("x", 0.5);
    pickle.end_dict();
    TorchWriter writer(path("sample.pt"), pickle.take(), storages);
    const std::vector<float> values{1, 2, 3, 4, 5, 6};
    writer.write(std::as_bytes(std::span(values).first(1)));  // in pieces of any size
    writer.write(std::as_bytes(std::span(values).subspan(1)));
    const std::vector<std::uint16_t> halves{0x3F80, 0xBF80, 0x4000, 0x0000};
    writer.write(std::as_bytes(std::span(halves)));
    writer.finish();
    return path("sample.pt");
  }
  static std::vector<float> all(const TorchFile& file, const char* name) {
    const auto value = file.root().at(name);
    std::vector<float> values(static_cast<std::size_t>(value.tensor().numel()));
    file.read(value.tensor(), 0, values);
    return values;
  }

  TestFolder folder_;
};

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A file in memory: thousands of damaged copies take no disk.
class MemoryFile {
 public:
  MemoryFile() : file_(memfd_create("sample", MFD_CLOEXEC)) {}
  ~MemoryFile() { close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  /// Replaces the content; returns the file's path.
  std::string set(const std::string& bytes) {
    const auto size = static_cast<std::int64_t>(bytes.size());
    EXPECT_EQ(ftruncate(file_, size), 0);
    EXPECT_EQ(pwrite(file_, bytes.data(), bytes.size(), 0), size);
    return "/proc/self/fd/" + std::to_string(file_);
  }

 private:
  int file_;
};

TEST(Crc32Test, EqualsThePublishedCheckValue) {
  const std::string text = "123456789";
  EXPECT_EQ(crc32(0, std::as_bytes(std::span(text))), 0xCBF43926U);
  const auto first = crc32(0, std::as_bytes(std::span(text).first(4)));
  EXPECT_EQ(crc32(first, std::as_bytes(std::span(text).subspan(4))), 0xCBF43926U);
}

TEST_F(TorchFileTest, ReadsWhatTheWriterWrote) {
  const TorchFile file(write_sample());
  EXPECT_EQ(all(file, "a"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(all(file, "b"), (std::vector<float>{5, 6}));
  EXPECT_EQ(all(file, "c"), (std::vector<float>{1, -1, 2, 0}));
  EXPECT_TRUE(all(file, "d").empty());
  EXPECT_EQ(file.root().at("n").integer(), 7);
  EXPECT_EQ(file.root().at("large").integer(), -5'000'000'000);
  EXPECT_EQ(file.root().at("x").number(), 0.5);
  std::vector<float> slice(3);
  file.read(file.root().at("a").tensor(), 2, slice);
  EXPECT_EQ(slice, (std::vector<float>{3, 4, 5}));
  EXPECT_NO_THROW(file.verify());
}

/// Resident pages of mapped files, in bytes.
std::int64_t resident_file_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kib = 0;
    if (word == "RssFile:" && status >> kib) return kib * 1024;
  }
  return -1;
}

TEST_F(TorchFileTest, ReadingALargeTensorKeepsLittleOfTheFileInMemory) {
  constexpr std::int64_t kCount = 16 << 20;
  const std::vector<StorageRef> storages{{"0", TorchDType::bf16, kCount}};
  PickleWriter pickle;
  pickle.begin_dict();
  pickle.text("w");
  pickle.tensor(storages[0], 0, Shape{kCount});
  pickle.end_dict();
  TorchWriter writer(path("large.pt"), pickle.take(), storages);
  std::vector<std::uint16_t> ones(static_cast<std::size_t>(kCount), 0x3F80);
  writer.write(std::as_bytes(std::span(ones)));
  writer.finish();
  const TorchWeights file(path("large.pt"));
  const auto before = resident_file_bytes();
  std::vector<float> values(static_cast<std::size_t>(kCount));
  file.read("w", 0, values);
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0.0), static_cast<double>(kCount));
  EXPECT_LT(resident_file_bytes() - before, 4 << 20) << "of a file of 32 MiB";
}

TEST_F(TorchFileTest, StoragesBeginAtMultiplesOf64Bytes) {
  const ZipFile zip(write_sample());
  for (const auto& [name, entry] : zip.entries()) EXPECT_EQ(entry.begin % 64, 0) << name;
}

TEST_F(TorchFileTest, AnUnfinishedFileIsRemoved) {
  { const TorchWriter writer(path("half.pt"), "", {{"0", TorchDType::f32, 1}}); }
  EXPECT_TRUE(fs::is_empty(folder_.root()));
}

TEST_F(TorchFileTest, AFileCutAtAnyByteIsRefused) {
  const auto bytes = slurp(write_sample());
  MemoryFile copy;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto cut = copy.set(bytes.substr(0, size));
    EXPECT_THROW(TorchFile{cut}, CheckpointError) << size;
  }
}

TEST_F(TorchFileTest, AChangedByteIsRefusedOrFoundByVerifyOrWithoutMeaning) {
  const auto path_of_sample = write_sample();
  const auto bytes = slurp(path_of_sample);
  const ZipFile zip(path_of_sample);
  const auto in_member = [&](std::size_t at) {
    for (const auto& [name, entry] : zip.entries()) {
      const auto begin = static_cast<std::size_t>(entry.begin);
      if (at >= begin && at < begin + static_cast<std::size_t>(entry.size)) return true;
    }
    return false;
  };
  MemoryFile copy;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x41);
    bool found = false;
    try {
      TorchFile(copy.set(changed)).verify();
    } catch (const CheckpointError&) {
      found = true;
    }
    EXPECT_TRUE(found || !in_member(at)) << at;
  }
}

TEST_F(TorchFileTest, RandomDamageNeverEscapesAsAnotherError) {
  const auto bytes = slurp(write_sample());
  std::mt19937 random(7);
  MemoryFile copy;
  for (int round = 0; round < 3000; ++round) {
    auto changed = bytes;
    for (auto flips = random() % 6 + 1; flips > 0; --flips) {
      changed[random() % changed.size()] = static_cast<char>(random());
    }
    try {
      TorchFile(copy.set(changed)).verify();
    } catch (const CheckpointError&) {
    }
  }
}

Pickle parse(const std::string& pickle) {
  return unpickle(std::as_bytes(std::span(pickle)), "test");
}

TEST(UnpickleTest, TheMessageNamesAClassThatIsNotOnTheList) {
  try {
    (void)parse(
        "\x80\x02"
        "cos\nsystem\nX\x04" +
        std::string(3, '\0') + "true\x85R.");
    FAIL();
  } catch (const CheckpointError& error) {
    EXPECT_NE(std::string(error.what()).find("'os.system'"), std::string::npos) << error.what();
  }
}

TEST(UnpickleTest, RandomBytesOfTheAllowedOpcodesAreReadOrRefused) {
  const std::string opcodes =
      "\x80\x95.(01N\x88\x89JKM\x8a\x8bGX\x8c\x8d\x8e"
      "BC]ae)t\x85\x86\x87}su"
      "\x8f\x90hjqr\x94"
      "c\x93R\x81"
      "bQ";
  std::mt19937 random(11);
  int read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string pickle = "\x80\x02";
    for (auto length = random() % 30; length > 0; --length) {
      pickle.push_back(random() % 4 == 0 ? static_cast<char>(random() % 8)
                                         : opcodes[random() % opcodes.size()]);
    }
    try {
      (void)parse(pickle + ".");
      ++read;
    } catch (const CheckpointError&) {
    }
  }
  EXPECT_GT(read, 0);
}

TEST(UnpickleTest, ADictThatHoldsItselfIsPlainData) {
  const auto pickle = parse("\x80\x02}q\x01X\x01" + std::string(3, '\0') + "ah\x01s.");
  const PickleValue root(pickle, pickle.root, "test");
  EXPECT_EQ(root.at("a").at("a").at("a").kind(), NodeKind::dict);
}

}  // namespace
}  // namespace zt::checkpoint
