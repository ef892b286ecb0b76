#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "memory/nvme/nvme_store.h"

namespace zt::memory {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kBlock = 16 << 10;
constexpr std::int64_t kSize = 6 * kBlock + 1000;

/// What happens to the n-th request of a store.
struct Fault {
  int at = 0;             ///< from 1; 0: never
  std::int64_t result{};  ///< instead of the request's; the request is not made when it is negative
  bool flip = false;      ///< one byte that was read changes
};

/// pread and pwrite with one fault.
class FaultyIo final : public BlockIo {
 public:
  FaultyIo(const Fault& fault, std::atomic<int>& count) : fault_(fault), count_(count) {}
  [[nodiscard]] int depth() const override { return 1; }
  void submit(const BlockRequest& request) override { request_ = request; }
  void flush() override {}

  std::vector<BlockCompletion> reap(int /*at_least*/) override {
    const bool now = ++count_ == fault_.at;
    if (now && fault_.result < 0) return {{request_, fault_.result}};
    BlockRequest made = request_;
    if (now && !fault_.flip) made.size = fault_.result;
    real_->submit(made);
    auto result = real_->reap(1);
    if (now && fault_.flip) made.data[100] ^= std::byte{1};
    result.at(0).request = request_;
    return result;
  }

 private:
  Fault fault_;
  std::atomic<int>& count_;
  BlockRequest request_;
  std::unique_ptr<BlockIo> real_ = make_positional_io();
};

class NvmeFaultsTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (fs::current_path() / "nvme_test_faults").string();
    fs::remove_all(path_);
  }
  void TearDown() override { fs::remove_all(path_); }

  NvmeOptions options(const Fault& fault) {
    NvmeOptions result{.path = path_, .rank = 3};
    result.aio.block_size = kBlock;
    result.make_io = [this, fault] { return std::make_unique<FaultyIo>(fault, count_); };
    return result;
  }

  /// Writes the range (7 requests), reads it again (7 more); the text of the failure.
  std::string failure_of(const Fault& fault, bool verify = true) {
    count_ = 0;
    auto how = options(fault);
    how.verify = verify;
    NvmeStore store(how);
    const auto range = store.add("u4.exp_avg", {kSize});
    const std::vector<std::byte> written(kSize, std::byte{0x5a});
    std::vector<std::byte> read(kSize);
    try {
      store.wait(store.write(range, written));
      store.wait(store.read(range, read));
    } catch (const FileError& error) {
      // From here on every call says the same.
      EXPECT_THROW((void)store.read(range, read), FileError);
      EXPECT_THROW(store.wait_all(), FileError);
      return error.what();
    }
    EXPECT_EQ(read, written) << "a wrong value came back without an error";
    return {};
  }

  static void expect_names(const std::string& text, const std::string& what, std::int64_t byte) {
    EXPECT_NE(
        text.find("zerotrain/rank00003/u4.exp_avg at byte " + std::to_string(byte) + " (rank 3)"),
        std::string::npos)
        << text;
    EXPECT_NE(text.find(what), std::string::npos) << text;
  }

  std::string path_;
  std::atomic<int> count_{0};
};

TEST_F(NvmeFaultsTest, WithoutAFaultTheBytesComeBack) {
  EXPECT_EQ(failure_of({}), "");
  EXPECT_EQ(count_.load(), 14);
}

TEST_F(NvmeFaultsTest, ErrorsOfTheDiskNameFileOffsetAndRank) {
  expect_names(failure_of({.at = 3, .result = -EIO}), "cannot be written: Input/output error",
               2 * kBlock);
  expect_names(failure_of({.at = 5, .result = -ENOSPC}), "No space left on device. Free space",
               4 * kBlock);
  expect_names(failure_of({.at = 8, .result = -EIO}), "cannot be read: Input/output error", 0);
}

TEST_F(NvmeFaultsTest, ShortReadsAndWritesOfWholeBlocksAreFinished) {
  EXPECT_EQ(failure_of({.at = 2, .result = 4096}), "");
  EXPECT_EQ(count_.load(), 15);
  EXPECT_EQ(failure_of({.at = 9, .result = 8192}), "");
  EXPECT_EQ(failure_of({.at = 9, .result = 8192 + 512}), "");
}

TEST_F(NvmeFaultsTest, ShortReadsWithoutProgressAreErrors) {
  expect_names(failure_of({.at = 9, .result = 512}), "only 512 of 16384 bytes were read", kBlock);
  expect_names(failure_of({.at = 14, .result = 0}), "only 0 of 4096 bytes were read", 6 * kBlock);
}

TEST_F(NvmeFaultsTest, InterruptedRequestsAreMadeAgain) {
  EXPECT_EQ(failure_of({.at = 2, .result = -EINTR}), "");
  EXPECT_EQ(failure_of({.at = 10, .result = -EAGAIN}), "");
}

TEST_F(NvmeFaultsTest, ChangedContentsAreNeverUsed) {
  expect_names(failure_of({.at = 11, .result = 0, .flip = true}), "not those that were written",
               3 * kBlock);
}

/// Answers each request after a while.
class SlowIo final : public BlockIo {
 public:
  explicit SlowIo(std::chrono::milliseconds each) : each_(each) {}
  [[nodiscard]] int depth() const override { return 1; }
  void submit(const BlockRequest& request) override { real_->submit(request); }
  void flush() override { real_->flush(); }
  std::vector<BlockCompletion> reap(int at_least) override {
    std::this_thread::sleep_for(each_);
    return real_->reap(at_least);
  }

 private:
  std::chrono::milliseconds each_;
  std::unique_ptr<BlockIo> real_ = make_positional_io();
};

TEST_F(NvmeFaultsTest, EveryBlockOfASlowDiskCountsAsProgressAndTheWaitGoesOn) {
  std::atomic<int> progress{0};
  NvmeOptions how{.path = path_, .rank = 3};
  how.aio.block_size = kBlock;
  how.on_progress = [&progress] { ++progress; };
  how.stall = std::chrono::milliseconds(5);  // each block takes longer: reported, never an error
  how.make_io = [] { return std::make_unique<SlowIo>(std::chrono::milliseconds(20)); };
  NvmeStore store(how);
  const auto range = store.add("u4.exp_avg", {kSize});
  std::vector<std::byte> bytes(kSize, std::byte{0x5a});
  const std::vector<std::byte> written = bytes;
  log::init(3, log::Level::warning);
  testing::internal::CaptureStderr();
  store.wait(store.write(range, written));
  const auto log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(progress.load(), 7);
  EXPECT_NE(log.find("the disk does not answer"), std::string::npos) << log;
  EXPECT_NE(log.find("zerotrain/rank00003/u4.exp_avg is to be written"), std::string::npos) << log;
  std::fill(bytes.begin(), bytes.end(), std::byte{0});
  testing::internal::CaptureStderr();
  store.wait(store.read(range, bytes));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("is to be read"), std::string::npos);
  EXPECT_EQ(bytes, written);
  EXPECT_EQ(progress.load(), 14);
}

TEST_F(NvmeFaultsTest, AFileThatAnotherProgramCutsIsAnError) {
  NvmeOptions how{.path = path_, .rank = 3};
  how.aio.block_size = kBlock;
  NvmeStore store(how);
  const auto range = store.add("u4.exp_avg", {kSize});
  std::vector<std::byte> bytes(kSize, std::byte{0x5a});
  store.wait(store.write(range, bytes));
  fs::resize_file(store.folder() + "/u4.exp_avg", 2 * kBlock);
  try {
    store.wait(store.read(range, bytes));
    FAIL() << "a cut file was read";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("u4.exp_avg at byte "), std::string::npos);
  }
}

TEST_F(NvmeFaultsTest, RangesThatWereNeverWrittenAreNotRead) {
  NvmeStore store(options({}));
  const auto range = store.add("u4.exp_avg", {kSize});
  std::vector<std::byte> bytes(kSize);
  EXPECT_THROW(store.wait(store.read(range, bytes)), FileError);
}

}  // namespace
}  // namespace zt::memory
