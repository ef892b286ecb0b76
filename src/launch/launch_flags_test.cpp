#include "launch/launch_flags.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace zt::launch {
namespace {

using Words = std::vector<std::string>;

LaunchOptions options_of(const Words& words, int default_nproc = 1) {
  return parse_launch(words, default_nproc).options;
}

std::string error_of(const Words& words) {
  try {
    (void)parse_launch(words, 1);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(LaunchFlagsTest, OurNamesAndThoseOfOtherLaunchersMeanTheSame) {
  const Words rows[] = {
      {"--nproc", "4", "--nnodes", "2", "--node_rank", "1", "--master_addr", "10.0.0.1",
       "--master_port", "4242", "--", "zt", "train", "--nproc", "9"},
      {"--nproc_per_node=4", "--nnodes=2", "--node-rank=1", "--master-addr=10.0.0.1",
       "--master-port=4242", "zt", "train", "--nproc", "9"},
      {"--no_python", "--num_gpus", "4", "--num_nodes", "2", "--node_rank", "1", "--master_addr",
       "10.0.0.1", "--master_port", "4242", "--no_ssh", "zt", "train", "--nproc", "9"}};
  for (const Words& words : rows) {
    const LaunchOptions options = options_of(words);
    EXPECT_EQ(options.nproc, 4);
    EXPECT_EQ(options.nnodes, 2);
    EXPECT_EQ(options.node_rank, 1);
    EXPECT_EQ(options.master_addr, "10.0.0.1");
    EXPECT_EQ(options.master_port, 4242);
    EXPECT_EQ(options.program, "zt");
    EXPECT_EQ(options.arguments, (Words{"train", "--nproc", "9"}));
  }
}

TEST(LaunchFlagsTest, DefaultsAreOneMachineAndAnyPort) {
  const LaunchOptions options = options_of({"prog"}, 3);
  EXPECT_EQ(options.nproc, 3);
  EXPECT_EQ(options_of({"--nproc", "auto", "prog"}, 2).nproc, 2);
  EXPECT_EQ(options_of({"prog"}, 0).nproc, 1);
  EXPECT_EQ(options.nnodes, 1);
  EXPECT_EQ(options.master_addr, "127.0.0.1");
  EXPECT_EQ(options.master_port, 0);
  EXPECT_EQ(options.stop_grace, std::chrono::seconds(30));
  EXPECT_EQ(options_of({"--nnodes", "2", "--master_addr", "h", "prog"}).master_port, 29500);
  EXPECT_EQ(options_of({"--grace", "5", "prog"}).stop_grace, std::chrono::seconds(5));
}

TEST(LaunchFlagsTest, EveryProblemIsListedWithItsRemedy) {
  const std::string text =
      error_of({"--nproc", "0", "--nnodes", "2", "--node_rank", "2", "--master_port", "99999",
                "--log_dri", "x", "--autotuning=run", "--launcher", "mpich"});
  for (const char* part :
       {"--nproc: got '0'", "--node_rank 2 is not below --nnodes 2", "--master_port: got '99999'",
        "Did you mean --log_dir?", "--autotuning is not built",
        "expected one of ssh, openmpi, slurm", "there is no program"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  const std::string machines = error_of({"--nnodes", "2", "zt"});
  EXPECT_NE(machines.find("--master_addr is missing"), std::string::npos) << machines;
  EXPECT_NE(error_of({"--nproc"}).find("--nproc has no value"), std::string::npos);
}

TEST(LaunchFlagsTest, HelpNamesEveryFlagAndNeedsNoProgram) {
  EXPECT_TRUE(parse_launch({"--help"}, 1).wants_help);
  for (const char* name : {"--nproc_per_node", "--num_nodes", "--master_port", "--grace"}) {
    EXPECT_NE(launch_help().find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace zt::launch
