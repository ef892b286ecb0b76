#include "config/rank_discovery.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace zt::config {
namespace {

using Names = std::vector<std::string>;

TEST(NodelistTest, ExpandsRangesInOrderAndKeepsTheirWidth) {
  EXPECT_EQ(*expand_nodelist("n[001-003,7],m"), (Names{"n001", "n002", "n003", "n7", "m"}));
  EXPECT_EQ(*expand_nodelist("n[09-11]"), (Names{"n09", "n10", "n11"}));
  EXPECT_EQ(*expand_nodelist("r[1-2]n[3,5]-ib"),
            (Names{"r1n3-ib", "r1n5-ib", "r2n3-ib", "r2n5-ib"}));
  EXPECT_EQ(*expand_nodelist("host-1.x"), (Names{"host-1.x"}));
  for (const char* bad : {"", "n[", "n]", "n[1-", "n[2-1]", "n[a]", "a,,b", "n[1-999999]"}) {
    EXPECT_FALSE(expand_nodelist(bad).has_value()) << bad;
  }
}

Variables slurm(const std::string& rank) {
  return {{"SLURM_PROCID", rank},
          {"SLURM_LOCALID", "0"},
          {"SLURM_STEP_NUM_TASKS", "5"},
          {"SLURM_STEP_NODELIST", "n[07-09]"},
          {"SLURM_STEP_TASKS_PER_NODE", "2(x2),1"},
          {"SLURM_NODEID", "2"},
          {"SLURM_JOB_ID", "123"},
          {"SLURM_STEP_ID", "0"}};
}

TEST(RankDiscoveryTest, SlurmsTasksAreRanks) {
  const auto rank = rank_environment(slurm("4"));
  ASSERT_TRUE(rank.has_value());
  EXPECT_EQ(rank->rank, 4);
  EXPECT_EQ(rank->world_size, 5);
  EXPECT_EQ(rank->local_world_size, 1);
  EXPECT_EQ(rank->master_addr, "n07");
  EXPECT_EQ(rank->master_port, 20'123);
  EXPECT_TRUE(rank->job.empty());
}

TEST(RankDiscoveryTest, OneMachineOfSlurmMeetsOverItsJob) {
  Variables variables = slurm("1");
  variables["SLURM_STEP_NODELIST"] = "n1";
  variables["SLURM_STEP_TASKS_PER_NODE"] = "5";
  variables["SLURM_NODEID"] = "0";
  EXPECT_EQ(rank_environment(variables)->job, "slurm/123.0");
  variables["MASTER_PORT"] = "777";
  EXPECT_TRUE(rank_environment(variables)->job.empty());
  EXPECT_EQ(rank_environment(variables)->master_port, 777);
}

TEST(RankDiscoveryTest, ABatchScriptAndASingleTaskAreNoRanks) {
  Variables batch = slurm("0");
  batch.erase("SLURM_STEP_NUM_TASKS");
  EXPECT_FALSE(rank_environment(batch).has_value());
  Variables single = slurm("0");
  single["SLURM_STEP_NUM_TASKS"] = "1";
  EXPECT_FALSE(rank_environment(single).has_value());
}

TEST(RankDiscoveryTest, LaunchersOwnVariablesWinOverSlurms) {
  Variables variables = slurm("4");
  variables["RANK"] = "0";
  variables["WORLD_SIZE"] = "2";
  EXPECT_EQ(rank_environment(variables)->world_size, 2);
}

TEST(RankDiscoveryTest, MpiRunnersAreKnownByTheirVariables) {
  Variables openmpi = {{"OMPI_COMM_WORLD_RANK", "1"},
                       {"OMPI_COMM_WORLD_SIZE", "2"},
                       {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                       {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                       {"PMIX_NAMESPACE", "42"}};
  EXPECT_EQ(rank_environment(openmpi)->job, "openmpi/42");
  EXPECT_EQ(rank_environment(openmpi)->local_rank, 1);
  openmpi["OMPI_COMM_WORLD_LOCAL_SIZE"] = "1";
  openmpi["OMPI_COMM_WORLD_LOCAL_RANK"] = "0";
  EXPECT_THROW((void)rank_environment(openmpi), ConfigError);
  openmpi["MASTER_ADDR"] = "n1";
  openmpi["MASTER_PORT"] = "29500";
  EXPECT_EQ(rank_environment(openmpi)->master_addr, "n1");
  const auto pmi = rank_environment(
      {{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "0"}, {"MPI_LOCALNRANKS", "4"}});
  EXPECT_EQ(pmi->world_size, 4);
  EXPECT_FALSE(pmi->job.empty());
}

TEST(RankDiscoveryTest, NumbersThatMakeNoSenseAreNamed) {
  Variables variables = slurm("9");
  variables["SLURM_STEP_TASKS_PER_NODE"] = "2";
  try {
    (void)rank_environment(variables);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("SLURM_PROCID: got '9'"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("SLURM_STEP_TASKS_PER_NODE"), std::string::npos);
  }
}

}  // namespace
}  // namespace zt::config
