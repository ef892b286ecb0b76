#include "checkpoint/store.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>

#include "base/error.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/native_test_save.h"

namespace {

std::atomic<int> flock_errno{0};  ///< what the next locks fail with; 0: the kernel is asked

}  // namespace

/// In the place of the C library's, for the whole program.
extern "C" int flock(int file, int operation) noexcept {
  if (const int number = flock_errno; number != 0) {
    errno = number;
    return -1;
  }
  return static_cast<int>(syscall(SYS_flock, file, operation));
}

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using namespace testing;

std::vector<std::int64_t> gone(const std::vector<std::int64_t>& newest_first,
                               const Retention& retention) {
  std::vector<CheckpointFolder> found;
  found.reserve(newest_first.size());
  for (const auto step : newest_first) found.push_back({step, "out/" + std::to_string(step)});
  std::vector<std::int64_t> steps;
  for (const auto& it : outdated(found, retention)) steps.push_back(it.step);
  return steps;
}

TEST(RetentionTest, KeepsTheNewestTheBestAndEveryNth) {
  const std::vector<std::int64_t> five{50, 40, 30, 20, 10};
  using Steps = std::vector<std::int64_t>;
  EXPECT_EQ(gone(five, {}), Steps{});
  EXPECT_EQ(gone(five, {.save_total_limit = 2}), (Steps{10, 20, 30}));
  EXPECT_EQ(gone(five, {.save_total_limit = 9}), Steps{});
  EXPECT_EQ(gone(five, {.save_total_limit = 1}), (Steps{10, 20, 30, 40}));
  EXPECT_EQ(gone(five, {.save_total_limit = 2, .best = "out/20"}), (Steps{10, 30, 40}));
  EXPECT_EQ(gone(five, {.save_total_limit = 1, .best = "out/20"}), (Steps{10, 30, 40}));
  EXPECT_EQ(gone(five, {.save_total_limit = 1, .best = "out/./50"}), (Steps{10, 20, 30, 40}));
  EXPECT_EQ(gone(five, {.save_total_limit = 2, .best = "out/7"}), (Steps{10, 20, 30}));
  EXPECT_EQ(gone(five, {.save_total_limit = 1, .keep_every = 20}), (Steps{10, 30}));
  EXPECT_EQ(gone(five, {.keep_every = 20}), Steps{});
  EXPECT_EQ(gone({}, {.save_total_limit = 1}), Steps{});
  EXPECT_EQ(gone({10}, {.save_total_limit = 1}), Steps{});
}

TEST(StoreTest, ListsOnlyFoldersNamedAfterAStepNewestFirst) {
  const SaveFolder folder;
  for (const char* name :
       {"checkpoint-9", "checkpoint-100", "checkpoint-20", "checkpoint-", "checkpoint-1x",
        "checkpoint-007", "checkpoint--3", ".checkpoint-8.partial", "xcheckpoint-4"}) {
    fs::create_directories(folder.path("out") + "/" + name);
  }
  write_file(folder.path("out/checkpoint-5"), "a file");
  std::vector<std::int64_t> steps;
  for (const auto& it : list_checkpoints(folder.path("out"))) steps.push_back(it.step);
  EXPECT_EQ(steps, (std::vector<std::int64_t>{100, 20, 9}));
  EXPECT_TRUE(list_checkpoints(folder.path("nothing")).empty());
}

TEST(StoreTest, ResumeTakesTheNewestWholeOneAndSaysWhatItSkipped) {
  const SaveFolder folder;
  for (const std::int64_t step : {10, 20, 30}) save_on(2, small_save(folder, step));
  fs::create_directories(folder.path("out/checkpoint-40"));
  auto bytes = read_file(folder.path("out/checkpoint-30/model.safetensors"));
  bytes[bytes.size() - 5] ^= 1;
  write_file(folder.path("out/checkpoint-30/model.safetensors"), bytes);
  std::vector<Resumable> results(3);
  on_ranks(3, [&](const RankExchange& exchange) {
    results.at(static_cast<std::size_t>(exchange.rank)) =
        find_resumable(folder.path("out"), exchange);
  });
  for (const auto& result : results) {
    EXPECT_EQ(result.folder, folder.path("out/checkpoint-20"));
    ASSERT_EQ(result.skipped.size(), 2U);
    EXPECT_NE(result.skipped[0].find("checkpoint-40: skipped"), std::string::npos);
    EXPECT_NE(result.skipped[1].find("model.safetensors"), std::string::npos);
  }
  EXPECT_EQ(find_resumable(folder.path("nothing"), exchange_alone()).folder, "");
  for (const auto& error : on_ranks(2, [&](const RankExchange& exchange) {
         require_whole(folder.path("out/checkpoint-30"), exchange);
       })) {
    EXPECT_NE(error.find("is damaged"), std::string::npos) << error;
  }
}

TEST(StoreTest, TheSecondWriterIsRefusedAndNamesTheFirst) {
  const SaveFolder folder;
  {
    const CheckpointStore first(folder.path("out"), exchange_alone());
    const auto errors = on_ranks(2, [&](const RankExchange& exchange) {
      const CheckpointStore second(folder.path("out"), exchange);
    });
    for (const auto& error : errors) {
      EXPECT_NE(error.find("process " + std::to_string(getpid()) + " on "), std::string::npos)
          << error;
    }
  }
  const CheckpointStore third(folder.path("out"), exchange_alone());
  EXPECT_EQ(third.output_dir(), folder.path("out"));
}

TEST(StoreTest, AFileSystemWithoutLocksIsWrittenToAndThatIsSaid) {
  const SaveFolder folder;
  flock_errno = ENOSYS;  // as Lustre without its mount option
  std::vector<std::string> said;
  EXPECT_NO_THROW(said = CheckpointStore(folder.path("out"), exchange_alone()).removed());
  flock_errno = EIO;
  EXPECT_THROW(CheckpointStore(folder.path("out"), exchange_alone()), CheckpointError);
  flock_errno = 0;
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said[0].find("has no locks"), std::string::npos) << said[0];
}

TEST(StoreTest, TheLockOfAProcessThatDiedIsFree) {
  const SaveFolder folder;
  const auto child = fork();
  if (child == 0) {
    const CheckpointStore store(folder.path("out"), exchange_alone());
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_NO_THROW(CheckpointStore(folder.path("out"), exchange_alone()));
}

TEST(StoreTest, LeftoversOfDeadRunsGoAndNothingElse) {
  const SaveFolder folder;
  save_on(1, small_save(folder, 10));
  for (const char* name : {".checkpoint-20.partial/zero", ".checkpoint-5.deleted",
                           ".checkpoint-6.partial.old", ".git", ".checkpoint-x.partial", "runs"}) {
    fs::create_directories(folder.path("out/") + name);
  }
  const CheckpointStore store(folder.path("out"), exchange_alone());
  EXPECT_EQ(store.removed().size(), 3U);
  for (const char* name : {".git", ".checkpoint-x.partial", "runs", "checkpoint-10"}) {
    EXPECT_TRUE(fs::exists(folder.path("out/") + name)) << name;
  }
  EXPECT_FALSE(fs::exists(folder.path("out/.checkpoint-20.partial")));
}

TEST(StoreTest, OutdatedCheckpointsGoButTheOnesThatAreKept) {
  const SaveFolder folder;
  for (const std::int64_t step : {10, 20, 30}) save_on(1, small_save(folder, step));
  CheckpointStore store(folder.path("out"), exchange_alone());
  const auto lines =
      store.remove_outdated({.save_total_limit = 1}, {folder.path("out/./checkpoint-20"), ""});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("checkpoint-10: deleted"), std::string::npos) << lines[0];
  EXPECT_EQ(list_checkpoints(folder.path("out")).size(), 2U);
}

}  // namespace
}  // namespace zt::checkpoint
