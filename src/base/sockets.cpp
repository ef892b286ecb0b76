#include "base/sockets.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/error.h"

namespace zt::net {
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
        fmt::format("[net.address] master address '{}' does not resolve: {}. Set "
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

/// One socket of that address, or -1 with errno set.
int try_open(const addrinfo& address, bool listens) {
  const int fd = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, address.ai_protocol);
  if (fd < 0) {
    return -1;
  }
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, address.ai_addr, address.ai_addrlen) == 0 &&
      (!listens || listen(fd, SOMAXCONN) == 0)) {
    return fd;
  }
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/// Any free port of the host, 0 when there is none.
int free_port(const addrinfo* addresses) {
  for (const addrinfo* a = addresses; a != nullptr; a = a->ai_next) {
    sockaddr_storage any{};
    std::memcpy(&any, a->ai_addr, a->ai_addrlen);
    auto& port = a->ai_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(any).sin6_port
                                          : reinterpret_cast<sockaddr_in&>(any).sin_port;
    port = 0;
    addrinfo without_port = *a;
    without_port.ai_addr = reinterpret_cast<sockaddr*>(&any);
    const int fd = try_open(without_port, /*listens=*/false);
    if (fd >= 0) {
      const int found = port_of(name_of(fd));
      close(fd);
      return found;
    }
  }
  return 0;
}

[[noreturn]] void throw_cannot_listen(const addrinfo* addresses, const std::string& host, int port,
                                      int error) {
  if (error == EADDRINUSE) {
    throw CommError(
        fmt::format("[net.listen] port {} of {} is taken by another program. Choose a free one, "
                    "for example {}, the same on every node (--master_port, MASTER_PORT).",
                    port, host, free_port(addresses)));
  }
  if (error == EADDRNOTAVAIL) {
    throw CommError(
        fmt::format("[net.listen] {} is no address of this machine. Rank 0 must run on the machine "
                    "of the master address: start node rank 0 there, or name this machine "
                    "(--master_addr, MASTER_ADDR).",
                    host));
  }
  throw CommError(fmt::format("[net.listen] cannot listen on {}:{}: {}. Choose another port.", host,
                              port, std::strerror(error)));
}

BoundSocket open_socket(const std::string& host, int port, bool listens) {
  const Addresses addresses = resolve(host, port, SOCK_STREAM);
  int error = 0;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    const int fd = try_open(*a, listens);
    if (fd >= 0) {
      return {fd, port_of(name_of(fd))};
    }
    error = errno;
  }
  throw_cannot_listen(addresses.get(), host, port, error);
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
  return open_socket(host, port, /*listens=*/false);
}

BoundSocket listen_socket(const std::string& host, int port) {
  return open_socket(host, port, /*listens=*/true);
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
  throw CommError(
      fmt::format("[net.address] no route to master address {}: {}.", host, std::strerror(error)));
}

std::string interface_of(const std::string& address) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    return "";
  }
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr ||
        (entry->ifa_addr->sa_family != AF_INET && entry->ifa_addr->sa_family != AF_INET6)) {
      continue;
    }
    const bool is_v6 = entry->ifa_addr->sa_family == AF_INET6;
    char text[NI_MAXHOST] = {};
    getnameinfo(entry->ifa_addr, is_v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in), text,
                sizeof(text), nullptr, 0, NI_NUMERICHOST);
    if (address == text) {
      return entry->ifa_name;
    }
  }
  return "";
}

}  // namespace zt::net
