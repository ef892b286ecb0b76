#include "launch/job_port.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <set>
#include <vector>

#include "base/error.h"
#include "launch/parent_watch.h"

namespace zt::launch {
namespace {

using std::chrono::milliseconds;

std::string job(const char* name) { return std::string(name) + std::to_string(getpid()); }

TEST(JobPortTest, RanksOfAJobLearnRankZerosPort) {
  config::RankEnvironment first, other;
  first.world_size = other.world_size = 2;
  other.rank = 1;
  first.job = other.job = job("a");
  const auto offer = agree_on_port(first);
  const auto none = agree_on_port(other);
  ASSERT_NE(offer, nullptr);
  EXPECT_EQ(none, nullptr);
  EXPECT_GT(first.master_port, 0);
  EXPECT_EQ(other.master_port, first.master_port);
  EXPECT_EQ(other.master_addr, "127.0.0.1");
  ASSERT_TRUE(first.listen_fd.has_value());
  EXPECT_FALSE(other.listen_fd.has_value());
  close(*first.listen_fd);
}

TEST(JobPortTest, TenJobsAtOnceHaveTenPorts) {
  std::vector<std::unique_ptr<JobPort>> jobs;
  std::set<int> ports;
  for (int i = 0; i < 10; ++i) {
    jobs.push_back(std::make_unique<JobPort>(job("many") + std::to_string(i)));
    ports.insert(JobPort::ask(job("many") + std::to_string(i), milliseconds(1000)));
  }
  EXPECT_EQ(ports.size(), 10U);
}

TEST(JobPortTest, ATakenNameAndASilentRankZeroAreErrors) {
  const JobPort taken(job("taken"));
  EXPECT_THROW(JobPort(job("taken")), CommError);
  EXPECT_THROW((void)JobPort::ask(job("nobody"), milliseconds(150)), CommError);
}

TEST(JobPortTest, TheLongestJobNamesDifferByTheirEnd) {
  const std::string base(300, 'x');
  const JobPort first(base + "1" + job(""));
  const JobPort second(base + "2" + job(""));
  EXPECT_NE(JobPort::ask(base + "1" + job(""), milliseconds(1000)),
            JobPort::ask(base + "2" + job(""), milliseconds(1000)));
}

/// A child of a child: its parent dies, it is told. The pipe shows that it was.
TEST(ParentWatchTest, TheParentsDeathIsNoticed) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    if (fork() == 0) {
      const ParentWatch watch([&] { _exit(write(ends[1], "x", 1) == 1 ? 0 : 1); });
      static_cast<void>(!write(ends[1], "s", 1));
      std::this_thread::sleep_for(std::chrono::seconds(10));
      _exit(1);
    }
    std::this_thread::sleep_for(std::chrono::seconds(10));
    _exit(0);
  }
  close(ends[1]);
  char byte = 0;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);  // it has begun to watch
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
  close(ends[0]);
}

}  // namespace
}  // namespace zt::launch
