#include "launch/parent_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace zt::launch {

ParentWatch::ParentWatch(std::function<void()> on_end) {
  const pid_t parent = getppid();
  if (parent <= 1) return;
  parent_fd_ = static_cast<int>(syscall(SYS_pidfd_open, parent, 0));
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  if (parent_fd_ < 0 || stop_fd_ < 0) return;
  thread_ = std::thread([this, on_end = std::move(on_end)] {
    pollfd entries[] = {{parent_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    while (poll(entries, 2, -1) < 0 && errno == EINTR) {
    }
    if ((entries[1].revents & POLLIN) == 0) on_end();
  });
}

ParentWatch::~ParentWatch() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    static_cast<void>(!write(stop_fd_, &one, sizeof(one)));
    thread_.join();
  }
  for (const int fd : {parent_fd_, stop_fd_}) {
    if (fd >= 0) close(fd);
  }
}

}  // namespace zt::launch
