#include "launch/hostfile.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"

namespace zt::launch {
namespace {

std::vector<Host> pool() {
  return parse_hostfile("n1 slots=4\nn2 slots=2\n\n# n3\nn4 slots=1\n", "f");
}

std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(HostfileTest, ReadsHostsInTheirOrder) {
  EXPECT_EQ(describe(pool()), "n1:0,1,2,3 n2:0,1 n4:0");
  EXPECT_EQ(num_slots(pool()), 7);
  EXPECT_EQ(describe(parse_hostfile("  10.0.0.1\tslots=2 # first\nuser@n-2.x slots=1", "f")),
            "10.0.0.1:0,1 user@n-2.x:0");
}

TEST(HostfileTest, EveryBadLineIsNamed) {
  const std::string text = error_of([] {
    (void)parse_hostfile(
        "n1 slots=2\nn1 slots=2\nn2\nn3 slots=x\nn4 slots=0\n-oProxyCommand=x slots=1\n"
        "$(reboot) slots=1\nn5 slots=1 more\n",
        "hosts");
  });
  for (const char* part : {"hosts:2", "n1 is there twice", "hosts:3", "hosts:4", "hosts:5",
                           "hosts:6", "hosts:7", "hosts:8", "expected '<host> slots=<number>'"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_NE(error_of([] { (void)parse_hostfile("# none\n", "hosts"); }).find("no host"),
            std::string::npos);
  EXPECT_NE(error_of([] { (void)read_hostfile("/no/such/file"); }).find("cannot read"),
            std::string::npos);
}

TEST(HostFilterTest, KeepsOrDropsHostsAndSlots) {
  const struct {
    const char *include, *exclude, *left;
  } rows[] = {{"", "", "n1:0,1,2,3 n2:0,1 n4:0"}, {"n2@n1:2,0", "", "n1:0,2 n2:0,1"},
              {"n1:3@n1:1,3", "", "n1:1,3"},      {"n4", "", "n4:0"},
              {"", "n1", "n2:0,1 n4:0"},          {"", "n1:0,1@n2:0,1", "n1:2,3 n4:0"}};
  for (const auto& row : rows) {
    EXPECT_EQ(describe(filter_hosts(pool(), row.include, row.exclude)), row.left) << row.include;
  }
  EXPECT_EQ(describe(filter_hosts({{"localhost", {0}}}, "localhost:5,7", "", true)),
            "localhost:5,7");
}

TEST(HostFilterTest, UnknownHostsAndSlotsAreNamed) {
  const auto fails = [](const std::string& include, const std::string& exclude) {
    return error_of([&] { (void)filter_hosts(pool(), include, exclude); });
  };
  EXPECT_NE(fails("n9", "").find("--include: there is no host 'n9'"), std::string::npos);
  EXPECT_NE(fails("n2:5", "").find("n2 has no slot 5"), std::string::npos);
  EXPECT_NE(fails("", "n2:2").find("--exclude: n2 has no slot 2"), std::string::npos);
  EXPECT_NE(fails("n1:a", "").find("slot 'a' of n1 is no number"), std::string::npos);
  EXPECT_NE(fails("", "n1@n2@n4").find("no slot is left"), std::string::npos);
  EXPECT_NE(fails("n1@", "").find("no host ''"), std::string::npos);
}

}  // namespace
}  // namespace zt::launch
