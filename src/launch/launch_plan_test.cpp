#include "launch/launch_plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "launch/other_launchers.h"

namespace zt::launch {
namespace {

using Words = std::vector<std::string>;

class LaunchPlanTest : public ::testing::Test {
 protected:
  LaunchPlanTest()
      : file_(std::filesystem::temp_directory_path() / ("zt_hosts" + std::to_string(getpid()))) {
    std::ofstream(file_) << "n1 slots=4\nn2 slots=2\n";
  }
  ~LaunchPlanTest() override { std::filesystem::remove(file_); }

  LaunchPlan plan(Words words, int num_devices = 0, const config::Variables& variables = {}) {
    for (std::string& word : words) {
      if (word == "FILE") word = file_.string();
    }
    command_ = parse_launch(words, num_devices);
    return plan_launch(command_, num_devices, variables);
  }

  std::string error_of(const Words& words) {
    try {
      (void)plan(words);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }

  std::filesystem::path file_;
  LaunchCommand command_;
};

TEST_F(LaunchPlanTest, SeveralHostsAreReachedOverSsh) {
  const LaunchPlan all = plan({"--hostfile", "FILE", "zt", "train"});
  EXPECT_EQ(all.starter, Starter::ssh);
  EXPECT_EQ(describe(all.hosts), "n1:0,1,2,3 n2:0,1");
  EXPECT_EQ(describe(plan({"-H", "FILE", "--include", "n2@n1:1,3", "zt"}).hosts), "n1:1,3 n2:0,1");
}

TEST_F(LaunchPlanTest, LimitsTakeTheFirstHostsAndSlots) {
  EXPECT_EQ(
      describe(plan({"--hostfile", "FILE", "--num_nodes", "2", "--num_gpus", "1", "zt"}).hosts),
      "n1:0 n2:0");
  EXPECT_NE(error_of({"--hostfile", "FILE", "--num_nodes", "3", "zt"}).find("has 2 hosts"),
            std::string::npos);
  EXPECT_NE(
      error_of({"--hostfile", "FILE", "--num_gpus", "3", "-i", "n1", "zt"}).find("do not go with"),
      std::string::npos);
  EXPECT_NE(error_of({"-i", "n1", "-e", "n2", "zt"}).find("both given"), std::string::npos);
}

TEST_F(LaunchPlanTest, OneHostIsThisMachineOnlyWhenItsAddressIs) {
  EXPECT_EQ(plan({"--include", "localhost:1,3", "zt"}).starter, Starter::here);
  EXPECT_EQ(command_.options.nproc, 2);
  EXPECT_EQ(command_.options.devices, (std::vector<int>{1, 3}));
  EXPECT_EQ(plan({"--hostfile", "FILE", "--include", "n2", "zt"}).starter, Starter::ssh);
  EXPECT_EQ(plan({"--force_multi", "zt"}).starter, Starter::ssh);
  EXPECT_EQ(plan({"--num_gpus", "2", "zt"}).starter, Starter::here);
  EXPECT_TRUE(command_.options.devices.empty());
}

TEST_F(LaunchPlanTest, VisibleDevicesThatDoNotCountAreSaid) {
  EXPECT_EQ(
      plan({"--include", "localhost:1", "zt"}, 2, {{"CUDA_VISIBLE_DEVICES", "6,7"}}).notices.size(),
      1U);
}

TEST_F(LaunchPlanTest, WithoutSshEachMachineKnowsItsPlace) {
  EXPECT_EQ(plan({"--hostfile", "FILE", "--no_ssh", "--node_rank", "1", "zt"}).starter,
            Starter::here);
  const LaunchOptions& options = command_.options;
  EXPECT_EQ(options.first_rank, 4);
  EXPECT_EQ(options.world_size, 6);
  EXPECT_EQ(options.nproc, 2);
  EXPECT_EQ(options.master_addr, "n1");
  EXPECT_EQ(options.master_port, 29500);
  EXPECT_NE(error_of({"--hostfile", "FILE", "--no_ssh", "zt"}).find("--node_rank is missing"),
            std::string::npos);
}

TEST_F(LaunchPlanTest, PythonProgramsGetTheirInterpreter) {
  (void)plan({"--pass_local_rank", "train.py", "--x"});
  resolve_program(command_);
  EXPECT_EQ(command_.options.program, "python3");
  EXPECT_EQ(command_.options.arguments, (Words{"-u", "train.py", "--x"}));
  EXPECT_EQ(command_.options.local_rank_at, 2);
  (void)plan({"--module", "a.b"});
  resolve_program(command_);
  EXPECT_EQ(command_.options.arguments, (Words{"-u", "-m", "a.b"}));
  (void)plan({"--no_python", "./train.py"});
  resolve_program(command_);
  EXPECT_EQ(command_.options.program, "./train.py");
}

TEST_F(LaunchPlanTest, AProgramThatCannotBeStartedIsNamedBeforeAnyRankStarts) {
  const auto refusal = [this](const Words& words) -> std::string {
    (void)plan(words);
    resolve_program(command_);
    try {
      require_program(command_.options);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  const std::string folder = file_.parent_path().string();
  EXPECT_EQ(refusal({"no_such_program", "--flag"}),
            "[launch.start] there is no program 'no_such_program' on PATH. Name one that is there, "
            "or give its path, as ./no_such_program.");
  EXPECT_NE(refusal({"train", "--bf16"}).find("Did you mean zt train?"), std::string::npos);
  EXPECT_NE(refusal({"/no/such/program"}).find("does not exist"), std::string::npos);
  EXPECT_NE(refusal({folder}).find("is no executable file"), std::string::npos);
  EXPECT_NE(refusal({file_.string()}).find("chmod +x"), std::string::npos);
  EXPECT_NE(refusal({folder + "/no_such_file.py"}).find("there is no file"), std::string::npos);
  EXPECT_EQ(refusal({"sh", "-c", "true"}), "");
  EXPECT_EQ(refusal({"/bin/sh"}), "");
  EXPECT_EQ(refusal({"-m", "json.tool"}), "");
}

TEST_F(LaunchPlanTest, OtherLaunchersGetTheirOwnFlags) {
  EXPECT_EQ(plan({"--launcher", "openmpi", "--hostfile", "FILE", "--launcher_args", "--tag-output",
                  "zt", "train"})
                .starter,
            Starter::openmpi);
  const auto hosts = parse_hostfile("n1 slots=2\nn2 slots=2\n", "f");
  const OtherLauncher mpi = openmpi_command(command_, hosts, {{"A", "1"}});
  EXPECT_EQ(mpi.words,
            (Words{"mpirun", "-n", "4", "--bind-to", "none", "--host", "n1:2,n2:2", "-x", "A", "-x",
                   "MASTER_ADDR", "-x", "MASTER_PORT", "--tag-output", "zt", "train"}));
  EXPECT_EQ(mpi.variables.at("MASTER_ADDR"), "n1");
  const Words guarded = openmpi_command(command_, hosts, {}, {"zt", "launch"}).words;
  EXPECT_EQ(Words(guarded.end() - 4, guarded.end()), (Words{"zt", "launch", "zt", "train"}));
  (void)plan({"--launcher", "slurm", "--num_nodes", "2", "--num_gpus", "4", "zt"});
  EXPECT_EQ(slurm_command(command_, {}, {}).words,
            (Words{"srun", "--nodes=2", "--ntasks=8", "--distribution=block",
                   "--kill-on-bad-exit=1", "--export=ALL", "zt"}));
  EXPECT_THROW((void)openmpi_command(command_, {{"n1", {1, 3}}}, {}), ConfigError);
}

TEST_F(LaunchPlanTest, TorchrunGetsItsFlagsAsTheyWereGiven) {
  EXPECT_EQ(plan({"--nnodes", "1:2", "--nproc_per_node=2", "--rdzv_backend", "c10d", "zt", "train"})
                .starter,
            Starter::torchrun);
  EXPECT_EQ(torchrun_command(command_),
            (Words{"torchrun", "--nnodes=1:2", "--nproc_per_node=2", "--rdzv_backend=c10d",
                   "--no_python", "zt", "train"}));
  EXPECT_NE(error_of({"--rdzv_id", "1", "--hostfile", "FILE", "zt"}).find("do not go together"),
            std::string::npos);
}

}  // namespace
}  // namespace zt::launch
