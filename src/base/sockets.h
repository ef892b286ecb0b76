#pragma once

#include <string>

namespace zt::net {

/// A bound TCP socket. Owns the descriptor; move-only.
class BoundSocket {
 public:
  BoundSocket(int fd, int port) : fd_(fd), port_(port) {}
  BoundSocket(BoundSocket&& other) noexcept;
  BoundSocket(const BoundSocket&) = delete;
  BoundSocket& operator=(const BoundSocket&) = delete;
  ~BoundSocket();
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] int port() const { return port_; }
  /// Gives the descriptor away.
  [[nodiscard]] int release();

 private:
  int fd_;
  int port_;
};

/// Binds, without listening, to the first address that `host` resolves to and that is this
/// machine's; `port` 0 takes any free one. The descriptor closes on exec. Errors: CommError, as
/// above.
BoundSocket bind_socket(const std::string& host, int port);

/// As `bind_socket`, and listens: connections are kept until the process that takes the descriptor
/// over accepts them. Errors: CommError, which names a port that is taken and a free one.
BoundSocket listen_socket(const std::string& host, int port);

/// The address of this machine from which `host` is reached, as text. No packet is sent.
/// Errors: CommError when `host` does not resolve or has no route.
std::string local_address_towards(const std::string& host, int port);

/// The network interface that has this address (`lo`, `eth0`), empty when none has.
std::string interface_of(const std::string& address);

}  // namespace zt::net
