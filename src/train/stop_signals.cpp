#include "train/stop_signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdint>

#include "base/error.h"

namespace zt::train {
namespace {

sigset_t handled_signals() {
  sigset_t handled;
  sigemptyset(&handled);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&handled, signal);
  return handled;
}

/// What the signal does to a process that does not care; returns only when it is ignored.
void take_default(int signal) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  raise(signal);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  const auto handled = handled_signals();
  pthread_sigmask(SIG_BLOCK, &handled, &before_);
  signals_ = signalfd(-1, &handled, SFD_CLOEXEC);
  end_ = eventfd(0, EFD_CLOEXEC);
  if (signals_ < 0 || end_ < 0) {
    throw DeviceError("[train.signals] signalfd failed. Free descriptors of this process.");
  }
  thread_ = std::thread([this] { watch(); });
}

StopSignals::~StopSignals() {
  const std::uint64_t one = 1;
  (void)!write(end_, &one, sizeof(one));
  thread_.join();
  close(end_);
  close(signals_);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void StopSignals::watch() {
  pthread_setname_np(pthread_self(), "zt-signals");
  for (;;) {
    pollfd entries[] = {{signals_, POLLIN, 0}, {end_, POLLIN, 0}};
    if (poll(entries, 2, -1) < 0) continue;
    if (entries[1].revents != 0) return;
    signalfd_siginfo info{};
    if (read(signals_, &info, sizeof(info)) != sizeof(info)) continue;
    handle(static_cast<int>(info.ssi_signo));
  }
}

void StopSignals::handle(int signal) {
  if (signal == SIGUSR1) {
    save_wished_ = true;
  } else if (!armed_ || stop_signal_ != 0) {
    take_default(signal);
  } else {
    stop_signal_ = signal;
  }
}

}  // namespace zt::train
