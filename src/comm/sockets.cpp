#include "comm/sockets.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/error.h"

namespace zt::comm {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses resolve(const std::string& host, int port, int type) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = type;
  addrinfo* list = nullptr;
  const int rc = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (rc != 0) {
    throw CommError(
        fmt::format("[comm.rendezvous] master address '{}' does not resolve: {}. Set "
                    "MASTER_ADDR to a host name or address of rank 0's machine.",
                    host, gai_strerror(rc)));
  }
  return {list, &freeaddrinfo};
}

int port_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

sockaddr_storage name_of(int fd) {
  sockaddr_storage name{};
  socklen_t length = sizeof(name);
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length);
  return name;
}

}  // namespace

BoundSocket::BoundSocket(BoundSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), port_(other.port_) {}

BoundSocket::~BoundSocket() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

int BoundSocket::release() { return std::exchange(fd_, -1); }

BoundSocket bind_socket(const std::string& host, int port) {
  const Addresses addresses = resolve(host, port, SOCK_STREAM);
  int error = 0;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    const int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) {
      error = errno;
      continue;
    }
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0) {
      return {fd, port_of(name_of(fd))};
    }
    error = errno;
    close(fd);
  }
  throw CommError(
      fmt::format("[comm.rendezvous] cannot bind {}:{}: {}. Rank 0 must run on the "
                  "machine of MASTER_ADDR; choose a free MASTER_PORT.",
                  host, port, std::strerror(error)));
}

std::string local_address_towards(const std::string& host, int port) {
  const Addresses addresses = resolve(host, port, SOCK_DGRAM);
  int error = 0;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    const int fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
      error = errno;
      if (fd >= 0) {
        close(fd);
      }
      continue;
    }
    const sockaddr_storage name = name_of(fd);
    close(fd);
    char text[NI_MAXHOST] = {};
    getnameinfo(reinterpret_cast<const sockaddr*>(&name), sizeof(name), text, sizeof(text), nullptr,
                0, NI_NUMERICHOST);
    return text;
  }
  throw CommError(fmt::format("[comm.rendezvous] no route to master address {}: {}.", host,
                              std::strerror(error)));
}

}  // namespace zt::comm
