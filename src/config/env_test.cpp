#include "config/env.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace zt::config {
namespace {

std::string error_of(const Variables& variables) {
  try {
    const auto ignored = rank_environment(variables);
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

TEST(EnvTest, ReadsTheVariablesOfTorchrun) {
  const auto env = rank_environment({{"RANK", "5"},
                                     {"LOCAL_RANK", "1"},
                                     {"WORLD_SIZE", "8"},
                                     {"LOCAL_WORLD_SIZE", "4"},
                                     {"MASTER_ADDR", "node1"},
                                     {"MASTER_PORT", "2345"}});
  ASSERT_TRUE(env.has_value());
  EXPECT_EQ(env->rank, 5);
  EXPECT_EQ(env->local_rank, 1);
  EXPECT_EQ(env->world_size, 8);
  EXPECT_EQ(env->local_world_size, 4);
  EXPECT_EQ(env->master_addr, "node1");
  EXPECT_EQ(env->master_port, 2345);
}

TEST(EnvTest, ReadsWhoHostsTheStore) {
  const Variables ranks = {{"RANK", "0"}, {"WORLD_SIZE", "2"}};
  EXPECT_FALSE(rank_environment(ranks)->launcher_hosts_store);
  EXPECT_FALSE(rank_environment(ranks)->listen_fd.has_value());
  Variables torchrun = ranks;
  torchrun["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  torchrun["TORCHELASTIC_RESTART_COUNT"] = "2";
  EXPECT_TRUE(rank_environment(torchrun)->launcher_hosts_store);
  EXPECT_EQ(rank_environment(torchrun)->restart_count, 2);
  EXPECT_TRUE(rank_environment(torchrun)->from_runner);
  EXPECT_FALSE(rank_environment(ranks)->from_runner) << "started by hand: outlives its shell";
  Variables own = ranks;
  own["ZT_LISTEN_FD"] = "7";
  EXPECT_EQ(rank_environment(own)->listen_fd, 7);
}

TEST(EnvTest, IsEmptyWithoutALauncherAndFillsLocalNames) {
  EXPECT_FALSE(rank_environment({{"MASTER_PORT", "1"}, {"ZT_X", "1"}}).has_value());
  const auto env = rank_environment({{"RANK", "1"}, {"WORLD_SIZE", "2"}});
  ASSERT_TRUE(env.has_value());
  EXPECT_EQ(env->local_rank, 1);
  EXPECT_EQ(env->local_world_size, 2);
}

TEST(EnvTest, NamesEveryWrongVariable) {
  const std::string error =
      error_of({{"RANK", "x"}, {"MASTER_PORT", "70000"}, {"LOCAL_RANK", "-1"}});
  for (const char* name : {"RANK: got 'x'", "MASTER_PORT: got '70000'", "LOCAL_RANK: got '-1'",
                           "WORLD_SIZE is not set"}) {
    EXPECT_NE(error.find(name), std::string::npos) << name << " in " << error;
  }
  EXPECT_NE(error_of({{"RANK", "2"}, {"WORLD_SIZE", "2"}}).find("not below WORLD_SIZE"),
            std::string::npos);
  EXPECT_NE(error_of({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "3"}}).find("above"),
            std::string::npos);
}

}  // namespace
}  // namespace zt::config
