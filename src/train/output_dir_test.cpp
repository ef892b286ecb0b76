#include "train/output_dir.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/test_folder.h"

namespace zt::train {
namespace {

namespace fs = std::filesystem;

class OutputDirTest : public ::testing::Test {
 protected:
  TestFolder folder_;
  const fs::path root_ = folder_.root() / "output";
};

TEST_F(OutputDirTest, MissingFoldersAreCreated) {
  prepare_output_dir(root_ / "a" / "b", false);
  EXPECT_TRUE(fs::is_directory(root_ / "a" / "b"));
}

TEST_F(OutputDirTest, FolderWithMetricsIsRefusedAndNamed) {
  fs::create_directories(root_);
  std::ofstream(root_ / "metrics.jsonl") << "{}\n";
  try {
    prepare_output_dir(root_, false);
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("metrics.jsonl"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("--overwrite_output_dir"), std::string::npos);
  }
  EXPECT_TRUE(fs::exists(root_ / "metrics.jsonl"));
}

TEST_F(OutputDirTest, OverwriteAcceptsAndDeletesNothing) {
  fs::create_directories(root_ / "checkpoint-5");
  std::ofstream(root_ / "model.safetensors") << "x";
  prepare_output_dir(root_, true);
  EXPECT_TRUE(fs::exists(root_ / "model.safetensors"));
  EXPECT_TRUE(fs::exists(root_ / "checkpoint-5"));
}

TEST_F(OutputDirTest, ForeignFilesAndTheTokenCacheAreNoObstacle) {
  fs::create_directories(root_ / "cache");
  std::ofstream(root_ / "notes.txt") << "x";
  EXPECT_NO_THROW(prepare_output_dir(root_, false));
}

TEST_F(OutputDirTest, FileInPlaceOfTheFolderIsRefused) {
  std::ofstream(root_) << "x";
  EXPECT_THROW(prepare_output_dir(root_, false), ConfigError);
}

/// In a process of its own, as a user whom permissions bind: root may write everywhere.
TEST_F(OutputDirTest, FolderWithoutWritePermissionIsRefused) {
  constexpr int kRefused = 7;
  constexpr uid_t kNobody = 65534;
  fs::create_directories(root_);
  fs::permissions(root_, fs::perms::owner_read | fs::perms::owner_exec);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) ::_exit(1);
    try {
      prepare_output_dir(root_, false);
    } catch (const ConfigError&) {
      ::_exit(kRefused);
    }
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), kRefused);
  fs::permissions(root_, fs::perms::owner_all);
}

}  // namespace
}  // namespace zt::train
