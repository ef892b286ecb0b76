#include "launch/run_ranks.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/sockets.h"
#include "base/test_folder.h"
#include "launch/rank_report.h"

namespace zt::launch {
namespace {

using std::chrono::milliseconds;
namespace fs = std::filesystem;

/// A fresh folder; ranks are shell scripts that leave files in it.
class RunRanks : public ::testing::Test {
 protected:
  [[nodiscard]] LaunchOptions script(int nproc, const std::string& text) const {
    LaunchOptions options;
    options.nproc = nproc;
    options.executable = "/bin/sh";
    options.arguments = {"-c", "cd " + dir_.string() + "; " + text};
    options.report_grace = milliseconds(200);
    options.term_grace = milliseconds(300);
    return options;
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    std::ifstream in(dir_ / name);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }

  [[nodiscard]] bool appears(const std::string& name) const {
    for (int i = 0; i < 500 && !fs::exists(dir_ / name); ++i) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    return fs::exists(dir_ / name);
  }

  TestFolder folder_;
  const fs::path dir_ = folder_.root();
};

bool ends(pid_t pid) {
  for (int i = 0; i < 500; ++i) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    if (!std::getline(stat, text) || text.find(") Z ") != std::string::npos) {
      return true;
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

TEST_F(RunRanks, EachRankGetsItsPlaceInTheEnvironment) {
  unsetenv("OMP_NUM_THREADS");
  LaunchOptions options =
      script(3,
             "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $MASTER_ADDR $OMP_NUM_THREADS "
             "$NCCL_SOCKET_IFNAME > env$RANK; echo $MASTER_PORT > port$RANK");
  options.omp_threads = 5;
  EXPECT_EQ(run_ranks(options), 0);
  EXPECT_EQ(file("env0"), "0 0 3 3 127.0.0.1 5 =lo\n");
  EXPECT_EQ(file("env2"), "2 2 3 3 127.0.0.1 5 =lo\n");
  EXPECT_EQ(file("port0"), file("port2"));
  EXPECT_GT(std::stoi(file("port1")), 0);
}

TEST_F(RunRanks, UsersOmpNumThreadsIsKept) {
  setenv("OMP_NUM_THREADS", "3", 1);
  EXPECT_EQ(run_ranks(script(1, "echo $OMP_NUM_THREADS > omp")), 0);
  EXPECT_EQ(file("omp"), "3\n");
}

TEST_F(RunRanks, RankZeroAloneInheritsTheBoundSocket) {
  EXPECT_EQ(run_ranks(script(2,
                             "readlink /proc/self/fd/$ZT_LISTEN_FD > fd$RANK; "
                             "echo \"$ZT_LISTEN_FD\" > var$RANK")),
            0);
  EXPECT_EQ(file("fd0").rfind("socket:", 0), 0U) << file("fd0");
  EXPECT_EQ(file("var1"), "\n");
}

TEST_F(RunRanks, StatusIsTheFirstFailuresAndOthersAreEnded) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(run_ranks(script(3, "echo $$ > pid$RANK; if [ $RANK = 1 ]; then exit 7; fi; sleep 60")),
            7);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_TRUE(ends(std::stoi(file("pid0"))));
}

TEST_F(RunRanks, RankKilledBySignalGives128PlusSignal) {
  EXPECT_EQ(run_ranks(script(2, "if [ $RANK = 1 ]; then kill -9 $$; fi; sleep 60")), 137);
}

TEST_F(RunRanks, PeerFailureIsNotTheFirstFailure) {
  EXPECT_EQ(run_ranks(script(2, "if [ $RANK = 0 ]; then exit 4; fi; sleep 0.1; exit 3")), 3);
}

TEST_F(RunRanks, RankThatIgnoresSigtermIsKilled) {
  EXPECT_EQ(run_ranks(script(2,
                             "if [ $RANK = 1 ]; then exit 5; fi; trap '' TERM; "
                             "while true; do sleep 0.1; done")),
            5);
}

TEST_F(RunRanks, MissingProgramIsAFailure) {
  LaunchOptions options = script(1, "");
  options.executable = "/no/such/program";
  EXPECT_EQ(run_ranks(options), 127);
}

TEST_F(RunRanks, SigtermIsForwarded) {
  const LaunchOptions options = script(
      2, "trap 'touch told$RANK; exit 0' TERM; touch up$RANK; while true; do sleep 0.05; done");
  const pid_t launcher = fork();
  if (launcher == 0) {
    LaunchOptions patient = options;
    patient.stop_grace = milliseconds(5000);
    _exit(run_ranks(patient));
  }
  ASSERT_TRUE(appears("up0") && appears("up1"));
  kill(launcher, SIGTERM);
  int status = 0;
  waitpid(launcher, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  EXPECT_TRUE(fs::exists(dir_ / "told0"));
  EXPECT_TRUE(fs::exists(dir_ / "told1"));
}

TEST_F(RunRanks, RanksDieWithTheLauncher) {
  const LaunchOptions options =
      script(2, "echo $$ > tmp$RANK; mv tmp$RANK pid$RANK; exec sleep 60");
  const pid_t launcher = fork();
  if (launcher == 0) {
    _exit(run_ranks(options));
  }
  ASSERT_TRUE(appears("pid0") && appears("pid1"));
  kill(launcher, SIGKILL);
  waitpid(launcher, nullptr, 0);
  EXPECT_TRUE(ends(std::stoi(file("pid0"))));
  EXPECT_TRUE(ends(std::stoi(file("pid1"))));
}

/// Runs in a child, since it is about the launcher's death: what the ranks started dies too.
TEST_F(RunRanks, WhatRanksStartedDiesWithTheLauncher) {
  const LaunchOptions options = script(
      2, "sh -c 'echo $$ > tmp$RANK; mv tmp$RANK below$RANK; exec sleep 60' & echo; sleep 60");
  const pid_t launcher = fork();
  if (launcher == 0) {
    _exit(run_ranks(options));
  }
  ASSERT_TRUE(appears("below0") && appears("below1"));
  kill(launcher, SIGKILL);
  waitpid(launcher, nullptr, 0);
  EXPECT_TRUE(ends(std::stoi(file("below0"))));
  EXPECT_TRUE(ends(std::stoi(file("below1"))));
}

TEST_F(RunRanks, WhatARankStartedDiesWithTheRank) {
  EXPECT_EQ(run_ranks(script(1, "sleep 60 & echo $! > below; kill -9 $$")), 137);
  EXPECT_TRUE(ends(std::stoi(file("below"))));
}

TEST_F(RunRanks, SecondMachineCountsOnAndOpensNoSocket) {
  LaunchOptions options =
      script(2,
             "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $NODE_RANK $MASTER_ADDR "
             "$MASTER_PORT $ZT_LISTEN_FD > env$LOCAL_RANK");
  options.nnodes = 3;
  options.node_rank = 1;
  options.master_addr = "127.0.0.2";
  options.master_port = 4242;
  EXPECT_EQ(run_ranks(options), 0);
  EXPECT_EQ(file("env0"), "2 0 6 2 1 127.0.0.2 4242\n");
  EXPECT_EQ(file("env1"), "3 1 6 2 1 127.0.0.2 4242\n");
}

TEST_F(RunRanks, TakenPortStopsBeforeAnyRankStarts) {
  const net::BoundSocket taken = net::listen_socket("127.0.0.1", 0);
  LaunchOptions options = script(2, "touch started");
  options.master_port = taken.port();
  EXPECT_THROW(run_ranks(options), CommError);
  EXPECT_FALSE(fs::exists(dir_ / "started"));
}

TEST_F(RunRanks, AProgramThatIsNotOursFindsThePortFree) {
  LaunchOptions options = script(1, "echo \"$ZT_LISTEN_FD\" > fd; echo $MASTER_PORT > port");
  options.pass_socket = false;
  EXPECT_EQ(run_ranks(options), 0);
  EXPECT_EQ(file("fd"), "\n");
  EXPECT_EQ(net::listen_socket("127.0.0.1", std::stoi(file("port"))).port(),
            std::stoi(file("port")));
}

TEST_F(RunRanks, LogFolderGetsOneFilePerRank) {
  LaunchOptions options = script(2, "echo out $RANK; echo err $RANK >&2");
  options.log_dir = (dir_ / "logs").string();
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(run_ranks(options), 0);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "out 0\nerr 0\n");
  EXPECT_EQ(file("logs/rank_0.log"), "out 0\nerr 0\n");
  EXPECT_EQ(file("logs/rank_1.log"), "out 1\nerr 1\n");
}

TEST_F(RunRanks, LastLineNamesTheFirstFailureAndItsCause) {
  const LaunchOptions options =
      script(2,
             "if [ $RANK = 1 ]; then echo '{\"message\": {\"message\": \"shard 7 is damaged\"}}'"
             " > $TORCHELASTIC_ERROR_FILE; exit 3; fi; sleep 60");
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(run_ranks(options), 3);
  const std::string text =
      ::testing::internal::GetCapturedStderr() + ::testing::internal::GetCapturedStdout();
  const std::string last = text.substr(text.rfind('\n', text.size() - 2) + 1);
  EXPECT_NE(last.find("first failure: rank 1, exit code 3: shard 7 is damaged"), std::string::npos)
      << text;
}

TEST_F(RunRanks, ReportsAreReadBackAsTheyWereWritten) {
  const RankReport report;
  EXPECT_EQ(report.message(), "");
  write_report("/proc/self/fd/" + std::to_string(report.fd()), "got \"x\",\nexpected y");
  EXPECT_EQ(report.message(), "got \"x\",\nexpected y");
}

/// `timeout` signals its child and then the child's group: that is one wish to stop, not two.
TEST_F(RunRanks, ARepeatedSignalDoesNotShortenTheGrace) {
  const LaunchOptions options = script(1,
                                       "trap 'sleep 0.5; touch saved; exit 0' TERM; touch up; "
                                       "while true; do sleep 0.05; done");
  const pid_t launcher = fork();
  if (launcher == 0) {
    _exit(run_ranks(options));
  }
  ASSERT_TRUE(appears("up"));
  kill(launcher, SIGTERM);
  std::this_thread::sleep_for(milliseconds(100));
  kill(launcher, SIGTERM);
  int status = 0;
  waitpid(launcher, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  EXPECT_TRUE(fs::exists(dir_ / "saved"));
}

}  // namespace
}  // namespace zt::launch
