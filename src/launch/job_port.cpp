#include "launch/job_port.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/error.h"

namespace zt::launch {
namespace {

constexpr const char* kLoopback = "127.0.0.1";
constexpr int kPollMs = 100;

struct Name {
  sockaddr_un address{};
  socklen_t length = 0;
};

/// An abstract name: a NUL, then text. Long jobs keep their end, where they differ.
Name name_of(const std::string& job) {
  const std::string user = "zerotrain/" + std::to_string(getuid()) + "/";
  const std::size_t room = sizeof(sockaddr_un::sun_path) - 1 - user.size();
  const std::string text = user + (job.size() > room ? job.substr(job.size() - room) : job);
  Name name;
  name.address.sun_family = AF_UNIX;
  std::memcpy(name.address.sun_path + 1, text.data(), text.size());
  name.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  return name;
}

bool is_same_user(int fd) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == getuid();
}

/// One question; 0 when nobody answers.
int try_ask(const Name& name) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port = 0;
  const timeval limit{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  if (connect(fd, reinterpret_cast<const sockaddr*>(&name.address), name.length) != 0 ||
      !is_same_user(fd) || recv(fd, &port, sizeof(port), MSG_WAITALL) != sizeof(port)) {
    port = 0;
  }
  close(fd);
  return port;
}

}  // namespace

JobPort::JobPort(const std::string& job)
    : socket_(net::listen_socket(kLoopback, 0)), port_(socket_.port()) {
  const Name name = name_of(job);
  name_fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (name_fd_ < 0 ||
      bind(name_fd_, reinterpret_cast<const sockaddr*>(&name.address), name.length) != 0 ||
      listen(name_fd_, SOMAXCONN) != 0) {
    const std::string why = std::strerror(errno);
    if (name_fd_ >= 0) close(name_fd_);
    throw CommError("[launch.job_port] the job's name '" + job + "' cannot be used: " + why +
                    ". Set MASTER_PORT to a free port, the same for all ranks of the job.");
  }
  thread_ = std::thread([this] { serve(); });
}

JobPort::~JobPort() {
  ends_ = true;
  thread_.join();
  close(name_fd_);
}

void JobPort::serve() {
  while (!ends_) {
    pollfd entry{name_fd_, POLLIN, 0};
    if (poll(&entry, 1, kPollMs) <= 0) continue;
    const int fd = accept4(name_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    if (is_same_user(fd)) {
      static_cast<void>(send(fd, &port_, sizeof(port_), MSG_NOSIGNAL));
    }
    close(fd);
  }
}

int JobPort::ask(const std::string& job, std::chrono::milliseconds timeout) {
  const Name name = name_of(job);
  const auto end = std::chrono::steady_clock::now() + timeout;
  do {
    const int port = try_ask(name);
    if (port > 0) return port;
    std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
  } while (std::chrono::steady_clock::now() < end);
  throw CommError("[launch.job_port] rank 0 of the job '" + job + "' did not answer within " +
                  std::to_string(timeout.count() / 1000) +
                  " s. Did it start on this machine? Else set MASTER_ADDR and MASTER_PORT.");
}

std::unique_ptr<JobPort> agree_on_port(config::RankEnvironment& rank) {
  constexpr auto kTimeout = std::chrono::seconds(120);
  if (rank.job.empty()) return nullptr;
  rank.master_addr = kLoopback;
  if (rank.rank != 0) {
    rank.master_port = JobPort::ask(rank.job, kTimeout);
    return nullptr;
  }
  auto offer = std::make_unique<JobPort>(rank.job);
  rank.master_port = offer->socket().port();
  rank.listen_fd = offer->socket().release();
  return offer;
}

}  // namespace zt::launch
