#include "launch/signal_inbox.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"

namespace zt::launch {

SignalInbox::SignalInbox() {
  sigset_t handled;
  sigemptyset(&handled);
  for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    sigaddset(&handled, signal);
  }
  pthread_sigmask(SIG_BLOCK, &handled, &before_);
  fd_ = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd_ < 0) {
    throw DeviceError("[launch.start] signalfd failed. Free descriptors of this process.");
  }
}

SignalInbox::~SignalInbox() {
  close(fd_);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int SignalInbox::wait(std::chrono::milliseconds timeout) {
  pollfd entry{fd_, POLLIN, 0};
  poll(&entry, 1, static_cast<int>(timeout.count()));
  signalfd_siginfo info{};
  return read(fd_, &info, sizeof(info)) == sizeof(info) ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace zt::launch
