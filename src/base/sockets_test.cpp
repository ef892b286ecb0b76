#include "base/sockets.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace zt::net {
namespace {

std::string error_of(const std::string& host, int port) {
  try {
    (void)listen_socket(host, port);
  } catch (const CommError& error) {
    return error.what();
  }
  return "";
}

TEST(SocketsTest, BindsToTheGivenAddressOnly) {
  const BoundSocket socket = bind_socket("127.0.0.1", 0);
  EXPECT_GT(socket.port(), 0);
  EXPECT_EQ(local_address_towards("127.0.0.1", 80), "127.0.0.1");
}

TEST(SocketsTest, ATakenPortIsNamedWithAFreeOne) {
  const BoundSocket taken = listen_socket("127.0.0.1", 0);
  const std::string text = error_of("127.0.0.1", taken.port());
  EXPECT_NE(text.find("port " + std::to_string(taken.port()) + " of 127.0.0.1 is taken"),
            std::string::npos)
      << text;
  const auto at = text.find("for example ");
  ASSERT_NE(at, std::string::npos) << text;
  const int offered = std::stoi(text.substr(at + 12));
  EXPECT_NE(offered, taken.port());
  EXPECT_EQ(listen_socket("127.0.0.1", offered).port(), offered);
}

TEST(SocketsTest, TheInterfaceOfAnAddressIsFound) {
  EXPECT_EQ(interface_of("127.0.0.1"), "lo");
  EXPECT_EQ(interface_of("192.0.2.1"), "");
}

TEST(SocketsTest, AnAddressOfAnotherMachineIsRefused) {
  EXPECT_NE(error_of("192.0.2.1", 0).find("192.0.2.1 is no address of this machine"),
            std::string::npos);
  EXPECT_NE(error_of("no-such-host.invalid", 0).find("does not resolve"), std::string::npos);
}

}  // namespace
}  // namespace zt::net
