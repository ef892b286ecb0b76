#include "launch/node_messages.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "launch/exported_variables.h"
#include "launch/launch_flags.h"
#include "launch/ssh_command.h"

namespace zt::launch {
namespace {

TEST(NodeMessagesTest, AJobArrivesByteForByte) {
  NodeJob job;
  job.token = "t";
  job.node_rank = 1;
  job.num_nodes = 3;
  job.first_rank = 2;
  job.world_size = 7;
  job.slots = {0, 5};
  job.folder = "/a b/\xff\xc3\xa9";
  job.variables = {{"A", "x\ny'\"$(reboot)`;"}, {"B", ""}};
  job.words = {"prog", "--text=\xe4\xb8\xad \x80\n", "$HOME", "''"};
  job.flags = {"--grace=3"};
  const NodeJob read = decode_job(encode(job));
  EXPECT_EQ(encode(job).find('\n'), std::string::npos);
  EXPECT_EQ(read.folder, job.folder);
  EXPECT_EQ(read.variables, job.variables);
  EXPECT_EQ(read.words, job.words);
  EXPECT_EQ(read.flags, job.flags);
  EXPECT_EQ(read.slots, job.slots);
  EXPECT_EQ(read.first_rank, 2);
  EXPECT_EQ(read.world_size, 7);
}

TEST(NodeMessagesTest, AnswersAreToldFromOtherOutput) {
  const std::string ready = encode("tok", NodeReady{.master_addr = "10.0.0.1", .master_port = 7});
  ASSERT_TRUE(decode_answer("tok", ready)->ready.has_value());
  EXPECT_EQ(decode_answer("tok", ready)->ready->master_port, 7);
  const std::string end = encode("tok", NodeEnd{9, 3, true, "rank 3: \xff"});
  EXPECT_EQ(decode_answer("tok", end)->end->failure, "rank 3: \xff");
  EXPECT_FALSE(decode_answer("tok", "token of another kind").has_value());
  EXPECT_FALSE(decode_answer("other", ready).has_value());
  EXPECT_THROW((void)decode_answer("tok", "tok {]"), CommError);
  EXPECT_THROW((void)decode_order("{}"), CommError);
}

TEST(SshCommandTest, HostAndProgramCannotBecomeFlagsOrShellText) {
  MachineFlags flags;
  flags.ssh_port = 2222;
  flags.launcher_args = {"-F", "my config"};
  const auto words = ssh_command(flags, "n1", "/a b/it's/zt");
  ASSERT_GE(words.size(), 3U);
  EXPECT_EQ(words.back(), "exec '/a b/it'\\''s/zt' launch --node_stdin");
  EXPECT_EQ(words[words.size() - 2], "n1");
  EXPECT_EQ(words[words.size() - 3], "--");
  EXPECT_EQ(words[words.size() - 4], "my config");
  EXPECT_EQ(shell_quoted("build-1.0/bin/zt"), "build-1.0/bin/zt");
  EXPECT_EQ(shell_quoted(""), "''");
}

TEST(SshCommandTest, KnownFailuresGetARemedy) {
  const std::string text = explain_ssh(255, {"x", "Host key verification failed."}, "n1");
  EXPECT_EQ(text.rfind("n1: Host key verification failed.", 0), 0U);
  EXPECT_NE(text.find("known_hosts"), std::string::npos);
  EXPECT_NE(explain_ssh(3, {}, "n1").find("exit code 3"), std::string::npos);
}

TEST(ExportedVariablesTest, FilesAndPrefixesDecide) {
  const auto file = parse_env_file("A=1\n# no\n\n B = x=y \n", "f");
  EXPECT_EQ(file, (config::Variables{{"A", "1"}, {"B", " x=y"}}));
  EXPECT_THROW((void)parse_env_file("A\n", "f"), ConfigError);
  EXPECT_THROW((void)parse_env_file("1A=2\n", "f"), ConfigError);
  const auto exported = exported_variables({{"NCCL_DEBUG", "INFO"},
                                            {"SECRET", "x"},
                                            {"ZT_LISTEN_FD", "3"},
                                            {"PYTHONPATH", "/lib"},
                                            {"DEEPSPEED_TIMEOUT", "30"}},
                                           "/no/such/folder");
  EXPECT_EQ(exported, (config::Variables{{"DEEPSPEED_TIMEOUT", "30"},
                                         {"NCCL_DEBUG", "INFO"},
                                         {"PYTHONPATH", "/no/such/folder:/lib"}}));
}

TEST(SplitWordsTest, QuotesAndBackslashesGroup) {
  EXPECT_EQ(split_words(" a 'b c' \"d 'e\" f\\ g '' "),
            (std::vector<std::string>{"a", "b c", "d 'e", "f g", ""}));
  EXPECT_THROW((void)split_words("'a"), ConfigError);
}

}  // namespace
}  // namespace zt::launch
