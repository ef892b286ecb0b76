#pragma once

#include <string>

namespace zt::comm {

/// A bound TCP socket that does not listen yet. Owns the descriptor; move-only.
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

/// Binds to the first address that `host` resolves to and that is this machine's; `port` 0 takes
/// any free one. The descriptor closes on exec. Errors: CommError.
BoundSocket bind_socket(const std::string& host, int port);

/// The address of this machine from which `host` is reached, as text. No packet is sent.
/// Errors: CommError when `host` does not resolve or has no route.
std::string local_address_towards(const std::string& host, int port);

}  // namespace zt::comm
