#include "launch/fan_out.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/error.h"
#include "launch/launch_flags.h"
#include "launch/node_side.h"

namespace zt::launch {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Machines are processes of this very program (see main below), which take their job as over ssh.
FanOutOptions machines(const std::string& script, std::vector<Host> hosts) {
  FanOutOptions options;
  options.job.token = random_token();
  options.job.num_nodes = static_cast<int>(hosts.size());
  options.job.world_size = num_slots(hosts);
  options.job.master_addr = "127.0.0.1";
  options.job.folder = ::testing::TempDir();
  options.job.words = {"/bin/sh", "-c", script};
  options.job.flags = {"--grace=2"};
  for (const Host& host : hosts) {
    static_cast<void>(host);
    options.commands.push_back({"/proc/self/exe", "--as_node"});
  }
  options.hosts = std::move(hosts);
  options.report_grace = milliseconds(500);
  options.term_grace = milliseconds(500);
  options.stop_grace = milliseconds(3000);
  return options;
}

const std::vector<Host> kTwo = {{"m1", {0, 1}}, {"m2", {4}}};

std::string output_of(const FanOutOptions& options, int expected) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(fan_out(options), expected);
  return ::testing::internal::GetCapturedStdout() + ::testing::internal::GetCapturedStderr();
}

TEST(FanOutTest, MachinesWithDifferentNumbersOfSlotsCountOn) {
  const std::string text = output_of(
      machines("echo $RANK of $WORLD_SIZE local $LOCAL_RANK of $LOCAL_WORLD_SIZE node $NODE_RANK "
               "dev $CUDA_VISIBLE_DEVICES at $MASTER_ADDR",
               kTwo),
      0);
  for (const char* line : {"m1: 0 of 3 local 0 of 2 node 0 dev 0,1 at 127.0.0.1\n",
                           "m1: 1 of 3 local 1 of 2 node 0 dev 0,1 at 127.0.0.1\n",
                           "m2: 2 of 3 local 0 of 1 node 1 dev 4 at 127.0.0.1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << text;
  }
}

TEST(FanOutTest, ArgumentsAndVariablesArriveAsTheyAre) {
  FanOutOptions options = machines("printf '<%s>' \"$A\" \"$@\"; echo", {{"m1", {0}}});
  options.job.variables = {{"A", "x y'\"$(exit 3)"}};
  options.job.words.insert(options.job.words.end(), {"sh", "$(reboot)", "a;b", "", "--"});
  EXPECT_NE(output_of(options, 0).find("m1: <x y'\"$(exit 3)><$(reboot)><a;b><><-->\n"),
            std::string::npos);
}

TEST(FanOutTest, AFailureOnOneMachineEndsTheOthersAndIsNamedLast) {
  const std::string text =
      output_of(machines("if [ $RANK = 2 ]; then exit 7; fi; sleep 60", kTwo), 7);
  // Ours alone: a machine's own lines have its name in front.
  const std::string last = text.substr(text.find("[error] launch: first failure"));
  EXPECT_NE(last.find("first failure: rank 2, exit code 7"), std::string::npos) << text;
  EXPECT_NE(last.find("(on m2)"), std::string::npos) << text;
}

TEST(FanOutTest, ALauncherThatIsKilledCountsAsALostMachine) {
  const std::string text =
      output_of(machines("if [ $RANK = 2 ]; then kill -9 $PPID; fi; sleep 60", kTwo), 4);
  EXPECT_NE(text.find("first failure: m2 (rank 2): its launcher was killed"), std::string::npos)
      << text;
}

TEST(FanOutTest, NoRankStartsBeforeEveryMachineHasAnswered) {
  FanOutOptions options = machines("echo started", kTwo);
  options.commands[1] = {"sh", "-c", "echo 'Host key verification failed.' >&2; exit 255"};
  const std::string text = output_of(options, 4);
  EXPECT_NE(text.find("cannot start on m2: m2: Host key verification failed."), std::string::npos)
      << text;
  EXPECT_EQ(text.find("started"), std::string::npos);
}

TEST(FanOutTest, EveryMachineThatDoesNotAnswerIsNamedInTime) {
  FanOutOptions options = machines("true", {{"m1", {0}}, {"m2", {0}}, {"m3", {0}}});
  options.commands[1] = options.commands[2] = {"sleep", "60"};
  options.connect_timeout = milliseconds(700);
  const auto begun = std::chrono::steady_clock::now();
  const std::string text = output_of(options, 4);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(5));
  EXPECT_NE(text.find("m2: no answer within"), std::string::npos) << text;
  EXPECT_NE(text.find("m3: no answer within"), std::string::npos) << text;
}

TEST(FanOutTest, AnErrorThatAllMachinesHaveIsSaidOnce) {
  FanOutOptions options = machines("true", kTwo);
  options.job.folder = "/no/such/folder";
  const std::string text = output_of(options, 2);
  EXPECT_NE(text.find("cannot start on m1, m2: "), std::string::npos) << text;
}

TEST(FanOutTest, AllRanksDieWithTheLauncher) {
  const std::string mark = ::testing::TempDir() + "/zt_fan_out_" + std::to_string(getpid());
  const FanOutOptions options = machines("echo $$ > " + mark + ".$RANK; exec sleep 60", kTwo);
  const pid_t launcher = fork();
  if (launcher == 0) _exit(fan_out(options));
  std::vector<int> pids(3);
  for (int tries = 0; tries < 1000 && (pids[0] == 0 || pids[1] == 0 || pids[2] == 0); ++tries) {
    for (std::size_t rank = 0; rank < 3; ++rank) {
      std::ifstream(mark + "." + std::to_string(rank)) >> pids[rank];
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
  kill(launcher, SIGKILL);
  waitpid(launcher, nullptr, 0);
  for (const int pid : pids) {
    ASSERT_GT(pid, 0);
    for (int tries = 0; tries < 500 && kill(pid, 0) == 0; ++tries) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    EXPECT_NE(kill(pid, 0), 0);
  }
  for (int rank = 0; rank < 3; ++rank) unlink((mark + "." + std::to_string(rank)).c_str());
}

TEST(FanOutTest, SignalsReachTheRanksOfAllMachines) {
  const FanOutOptions options =
      machines("trap 'echo told $RANK; exit 0' TERM; while true; do sleep 0.05; done", kTwo);
  const pid_t launcher = fork();
  if (launcher == 0) _exit(fan_out(options));
  std::this_thread::sleep_for(milliseconds(1500));
  kill(launcher, SIGTERM);
  int status = 0;
  waitpid(launcher, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}

}  // namespace
}  // namespace zt::launch

/// As one machine's launcher, or the tests.
int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--as_node") {
    zt::launch::NodeHooks hooks;
    hooks.prepare = [](zt::launch::LaunchOptions& options) { options.pass_socket = false; };
    hooks.exit_code = [](const std::exception&) { return 2; };
    return zt::launch::run_node(hooks);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
