#include "launch/keeper.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <vector>

#include "base/error.h"

namespace zt::launch {
namespace {

constexpr pid_t kLeave = 0;

/// Lets go of the launcher's terminal, pipes and sockets: whoever reads them sees their end.
/// Returns the kept descriptor's new number.
int keep_only(int socket) {
  const int kept = fcntl(socket, F_DUPFD_CLOEXEC, 3);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) {
    dup2(null, fd);
  }
  if (kept > 3) {
    close_range(3, static_cast<unsigned>(kept - 1), 0);
  }
  close_range(static_cast<unsigned>(kept + 1), ~0U, 0);
  return kept;
}

/// Messages: a group to watch, its negative to forget it, kLeave. Returns at kLeave or at the end
/// of the launcher.
[[noreturn]] void keep(int inherited) {
  const int socket = keep_only(inherited);
  setsid();
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  std::vector<pid_t> groups;
  pid_t message = kLeave;
  while (true) {
    const ssize_t got = read(socket, &message, sizeof(message));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got != sizeof(message)) {
      break;
    }
    if (message == kLeave) {
      _exit(0);
    }
    if (message > 0) {
      groups.push_back(message);
    } else {
      groups.erase(std::remove(groups.begin(), groups.end(), -message), groups.end());
    }
  }
  for (const pid_t group : groups) {
    kill(-group, SIGKILL);
  }
  _exit(0);
}

}  // namespace

Keeper::Keeper() {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0 || (pid_ = fork()) < 0) {
    throw DeviceError(
        "[launch.start] no process to watch over the ranks can be made. Free "
        "processes, memory or descriptors of this machine.");
  }
  if (pid_ == 0) {
    close(ends[0]);
    keep(ends[1]);
  }
  close(ends[1]);
  socket_ = ends[0];
}

Keeper::~Keeper() {
  tell(kLeave);
  close(socket_);
  waitpid(pid_, nullptr, 0);
}

void Keeper::watch(pid_t group) { tell(group); }
void Keeper::forget(pid_t group) { tell(-group); }

void Keeper::tell(pid_t message) const {
  // A keeper that someone killed is no reason to stop the run.
  static_cast<void>(send(socket_, &message, sizeof(message), MSG_NOSIGNAL));
}

}  // namespace zt::launch
